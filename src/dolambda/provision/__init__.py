"""Make, change and remove a stack.

One resource is one file; each plans by reading only, then applies.

    plan.py        what a resource is, what a change is
    names.py       how everything of a stack is named and tagged
    policies.py    who may do what: worker, submitter, deployer
    bucket.py  log_group.py  role.py  layer.py  bundle.py  function.py  trigger.py   the resources, in the order they are made
    commands.py    the same as commands of the AWS CLI
    template.py  template_resources.py   the same as a CloudFormation template
    panic.py       stop a stack that runs away, and undo it
    rotate_key.py  replace the signing key while sessions go on
    deploy.py      plan, deploy, destroy: all of them in order, or in the reverse

Nothing is remembered in files: what stands is found again by name.
"""
