"""All talk with AWS, and nothing else of dolambda talks to it.

account.py    credentials, region, boto3 clients for the control plane; its errors made ours
objects.py    the client's objects on S3, through obstore: the hot path
signed_s3.py  the worker's two requests a job, signed by hand: the Lambda runtime's SDK takes 0.5 s to import
calls.py      how many requests of which kind were made
"""
