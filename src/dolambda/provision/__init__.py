"""Creation, change and removal of a stack.

Each resource has a file. It plans by reading only, then applies.

    plan.py        the interface of resources and changes
    names.py       names and tags of everything in a stack
    policies.py    permissions: worker, submitter, deployer
    bucket.py  log_group.py  role.py  layer.py  bundle.py  function.py  trigger.py
                   the resources, in the order of their creation
    commands.py    the same as commands of the AWS CLI
    template.py  template_resources.py   the same as a CloudFormation template
    panic.py       stops a stack in an emergency, and undoes that
    rotate_key.py  replaces the signing key while sessions continue
    deploy.py      plan, deploy, destroy: all of them in order, or in reverse

There is no state file: existing resources are found by name.
"""
