"""The only part of dolambda that communicates with AWS.

account.py    credentials, region, boto3 clients for the control plane, translation of errors
sealed_session.py  a boto3 session without the user's configuration
models.py     AWS's models of its services, read once in a process
denials.py    the kind of policy that denied a request
reactor.py    thousands of requests in one thread of libcurl: the hot path
leader_followers.py    delivery of replies in that thread, or in another while a callback blocks
invoke.py     calls of a function, through the reactor
small_objects.py  jobs and replies on S3, through the reactor
objects.py    large or rare objects on S3, through obstore
signed_s3.py  the worker's two requests for each job, signed without an SDK: the SDK of the Lambda
              runtime takes 0.5 s to import
pace.py       the rate of deletions
request_counter.py  counts of requests by kind
"""
