"""What broke on AWS and was found after the audit, one function a finding; run as scenarios.py."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import threading
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from scenarios import Stack  # type: ignore[import-not-found]  # beside this file

from dolambda.aws import signed_s3
from dolambda.provision.deploy import names_of


def variables_of_others() -> None:
    """L1: someone adds variables to the function, and then dolambda is deployed again."""
    stack = Stack("l1")
    stack.deploy()
    client = stack.client("lambda")
    found = client.get_function_configuration(FunctionName="l1")["Environment"]["Variables"]
    client.update_function_configuration(
        FunctionName="l1", Environment={"Variables": {**found, "HTTPS_PROXY": "http://proxy"}}
    )
    stack.deploy(timeout=33)
    found = client.get_function_configuration(FunctionName="l1")["Environment"]["Variables"]
    if "HTTPS_PROXY" not in found:
        raise AssertionError("the variable was removed")


def a_bucket_with_versions() -> None:
    """L2: an organisation turns versioning on for all buckets."""
    stack = Stack("l2")
    stack.deploy()
    s3, bucket = stack.client("s3"), names_of(stack.root, stack.settings).bucket
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    if stack.ask(abs, -2) != 2:
        raise AssertionError("another answer")
    stack.destroy()


def older_lifecycle_rules() -> None:
    """L3: the user's own bucket has a lifecycle rule of the form of before 2016."""
    stack = Stack("l3", bucket="older-rules")
    s3 = stack.deployer()[0].client("s3")  # the rule does not see what the root user puts
    s3.create_bucket(Bucket="older-rules")
    rule = {"ID": "theirs", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 9}}
    s3.put_bucket_lifecycle_configuration(
        Bucket="older-rules", LifecycleConfiguration={"Rules": [rule]}
    )
    stack.deploy()


def a_job_under_object_lock() -> None:
    """L4: the bucket retains all objects by default, so each needs a checksum."""
    stack = Stack("l4")
    stack.deploy()
    if stack.ask(len, os.urandom(400_000)) != 400_000:
        raise AssertionError("another length")


def a_proxy_of_the_workers() -> None:
    """L5: the function's network leads to S3 only through a proxy."""
    asked: list[str] = []
    proxy = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = proxy.accept()
                with connection:
                    asked.append(connection.recv(4096).split(b"\r\n")[0].decode())
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    environ = {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "SK",
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy.getsockname()[1]}",
    }
    try:
        from dolambda.aws.request_counter import RequestCounter  # noqa: PLC0415 - not in all versions

        s3 = signed_s3.SignedS3("b", environ, RequestCounter())
        s3.begin_invocation(2.0)
    except ImportError:
        from dolambda.aws.calls import Calls  # type: ignore[import-not-found]  # noqa: PLC0415

        s3 = signed_s3.SignedS3("b", environ, Calls())
    with contextlib.suppress(Exception):
        s3.put_new("k", b"x")
    if not asked or not asked[0].startswith("CONNECT b.s3.eu-west-1."):
        raise AssertionError("the proxy was not asked")


def a_bucket_of_old_ireland() -> None:
    """B10: S3 says "EU" for eu-west-1."""
    stack = Stack("b10", bucket="an-old-bucket", region="eu-west-1")
    stack.client("s3").create_bucket(
        Bucket="an-old-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    stack.deploy()


def a_stack_that_comes_and_goes() -> None:
    """L7, L8: roles and log groups are read late, and change slowly."""
    stack = Stack(f"goes-{secrets.token_hex(3)}")
    stack.deploy()
    stack.deploy(log_days=7)
    stack.destroy()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    os._exit(0)  # the thread of a server does not end
