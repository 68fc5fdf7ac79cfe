"""All talk with AWS, and nothing else of dolambda talks to it.

account.py    credentials, region, boto3 clients for the control plane; its errors made ours
denials.py    which kind of policy denied a request
reactor.py    requests by the thousand, in one thread of libcurl's: the hot path
leader_followers.py    replies handed over in that thread, or in another while a callback blocks
invoke.py     calls of a function, through it
small_objects.py  jobs and replies on S3, through it
objects.py    what is large or rare on S3, through obstore
signed_s3.py  the worker's two requests a job, signed by hand: the Lambda runtime's SDK takes 0.5 s to import
pace.py       how fast deletions may follow each other
request_counter.py  how many requests of which kind were made
"""
