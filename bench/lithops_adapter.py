"""Lithops's own AWS backend, pointed at an AWS that is not Amazon's.

On entry: an endpoint; on leaving: its FunctionExecutor.

boto3 takes the endpoint from AWS_ENDPOINT_URL. What Lithops does without boto3 is adapted here, and
nothing else: its invocations name Amazon's host, and it builds its layer of dependencies in a
Lambda function with pip, which needs a registry there.
"""

from __future__ import annotations

import atexit
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uv


def executor(
    endpoint_url: str,
    *,
    key: str,
    secret: str,
    bucket: str,
    role: str,
    workers: int,
    deployed: bool,
) -> Any:
    """Give an executor. ``deployed``: do not deploy a function, there is one of any name."""
    home = tempfile.mkdtemp(
        prefix="lithops-"
    )  # it remembers deployed functions in its user's home, of whichever AWS
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["HOME"] = home
    os.environ.update(
        AWS_ENDPOINT_URL=endpoint_url,
        AWS_ACCESS_KEY_ID=key,
        AWS_SECRET_ACCESS_KEY=secret,
        AWS_DEFAULT_REGION="us-east-1",
    )
    import lithops  # noqa: PLC0415 - only where it is installed
    from lithops.serverless.backends.aws_lambda.aws_lambda import AWSLambdaBackend  # noqa: PLC0415
    from lithops.version import __version__  # noqa: PLC0415 - as above

    plain = AWSLambdaBackend.__init__

    def made(self: Any, *args: Any) -> None:
        plain(self, *args)
        self.host = urlsplit(endpoint_url).netloc
        send = self.session.send

        def plainly(request: Any) -> Any:
            request.url = request.url.replace("https://", "http://")  # the scheme is not signed
            return send(request)

        self.session.send = plainly

    AWSLambdaBackend.__init__ = made
    AWSLambdaBackend._create_layer = _publish_layer
    if deployed:
        meta = {
            "preinstalls": [],
            "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
            "lithops_version": __version__,
        }
        AWSLambdaBackend.deploy_runtime = lambda *_, **__: meta
    config = {
        "lithops": {"backend": "aws_lambda", "storage": "aws_s3", "log_level": "ERROR"},
        "aws": {"region": "us-east-1", "access_key_id": key, "secret_access_key": secret},
        "aws_s3": {"storage_bucket": bucket},
        "aws_lambda": {
            "execution_role": role,
            "account_id": "000000000000",
            "user_id": "AIDAXXXXBENCH",
            "max_workers": workers,
        },
    }
    return lithops.FunctionExecutor(config=config)


def _publish_layer(self: Any, runtime_name: str) -> str:
    """The layer that Lithops would build there, built here."""
    from lithops.serverless.backends.aws_lambda import config  # noqa: PLC0415 - as above

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, "python")
        command = [
            uv.find_uv_bin(),
            "pip",
            "install",
            "--quiet",
            "--target",
            str(target),
            "--python",
            sys.executable,
        ]
        subprocess.run([*command, *config.DEFAULT_REQUIREMENTS], check=True)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for file in sorted(target.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    archive.write(file, file.relative_to(scratch))
    published = self.lambda_client.publish_layer_version(
        LayerName=self._format_layer_name(runtime_name),
        Content={"ZipFile": packed.getvalue()},
        CompatibleRuntimes=[f"python{version}"],
    )
    return str(published["LayerVersionArn"])
