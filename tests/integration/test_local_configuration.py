"""The emulated AWS uses nothing that the user has configured for AWS proper, for proxies or for
libcurl.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import uv

if TYPE_CHECKING:
    from pathlib import Path

    from dolambda.local.instance import Instance

NOWHERE = "http://127.0.0.1:9"

POISON = {
    **dict.fromkeys(
        (
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
            "AWS_PROXY_URL",
            "AWS_ENDPOINT",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL_IAM",
            "AWS_ENDPOINT_URL_STS",
            "AWS_ENDPOINT_URL_LAMBDA",
            "AWS_METADATA_ENDPOINT",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
        NOWHERE,
    ),
    "AWS_PROFILE": "no-such-profile",
    "AWS_DEFAULT_PROFILE": "no-such-profile",
    "AWS_REGION": "nowhere-1",
    "AWS_DEFAULT_REGION": "nowhere-1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wrong",
    "AWS_SESSION_TOKEN": "stale",
    "AWS_CA_BUNDLE": "/nonexistent.pem",
    "REQUESTS_CA_BUNDLE": "/nonexistent.pem",
    "CURL_CA_BUNDLE": "/nonexistent.pem",
    "SSL_CERT_FILE": "/nonexistent.pem",
    "SSL_CERT_DIR": "/nonexistent",
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    "AWS_S3_EXPRESS": "true",
    "AWS_REQUEST_PAYER": "true",
    "AWS_UNSIGNED_PAYLOAD": "true",
    "AWS_BUCKET": "another-bucket",
    "AWS_SERVER_SIDE_ENCRYPTION": "aws:kms",
    "AWS_SSE_KMS_KEY_ID": "nobody's",
    "AWS_CHECKSUM_ALGORITHM": "unheard-of",
    "AWS_CONDITIONAL_PUT": "unheard-of",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "unheard-of",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "unheard-of",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "unheard-of",
    "AWS_AUTH_SCHEME_PREFERENCE": "noAuth",
    "AWS_DEFAULTS_MODE": "unheard-of",
    "AWS_MAX_ATTEMPTS": "many",
    "AWS_RETRY_MODE": "unheard-of",
    "AWS_DATA_PATH": "/nonexistent",
    "AWS_CSM_ENABLED": "true",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/nobody",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent",
}

PROGRAM = """
import dolambda
from dolambda import LambdaExecutor
with dolambda.register("local", workers=1, progress=False):
    for transport in ("queue", "direct"):
        with LambdaExecutor(transport=transport) as executor:
            print(transport, list(executor.map(len, [b"a", bytes(9_000_000)])), flush=True)
"""


def broken_home(home: Path) -> dict[str, str]:
    """Files in a home directory that are read by boto3, libcurl or the like, none of which can be
    parsed.
    """
    (home / ".aws" / "models" / "s3" / "2006-03-01").mkdir(parents=True)
    for name in (".aws/config", ".aws/credentials", ".boto", ".netrc", ".curlrc"):
        (home / name).write_text("[default\nnot = a = file\n\0", encoding="utf-8")
    (home / ".aws/models/s3/2006-03-01/service-2.json").write_text("{", encoding="utf-8")
    return {
        "HOME": str(home),
        "BOTO_CONFIG": str(home / ".boto"),
        "NETRC": str(home / ".netrc"),
        "CURL_HOME": str(home),
    }


@pytest.mark.usefixtures("instance")  # its packages are in uv's cache from then on
def test_nothing_of_the_users_configuration_is_used(instance: Instance, tmp_path: Path) -> None:
    cache = subprocess.run(
        [uv.find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    place = tmp_path / "tmp"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ
        | POISON
        | broken_home(tmp_path)
        | {"TMPDIR": str(place), "UV_OFFLINE": "1", "UV_CACHE_DIR": cache},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.stdout == "queue [1, 9000000]\ndirect [1, 9000000]\n", done.stderr
    assert instance.running
