"""The simulated AWS from outside.

On entry: a behaviour; on leaving: sessions on a stack that stands there, and what it has seen.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dolambda.aws.account import Account, Credentials
from dolambda.session import Session
from dolambda.settings import Settings
from dolambda.stack import Stack
from dolambda.wire.task import PYTHON

if TYPE_CHECKING:
    from support.simulated_aws.behaviour import Behaviour

_TESTS = Path(__file__).parents[2]


class Simulation:
    """The running process; use it in a with statement."""

    def __init__(self, behaviour: Behaviour, *, tls: bool = False) -> None:
        """With ``tls`` as AWS has it; `authority` is then the file of who signed its
        certificate.
        """
        self.behaviour = behaviour
        self._scratch = tempfile.TemporaryDirectory()
        self.authority = Path(self._scratch.name, "authority.pem") if tls else None
        self._context = None
        arguments = []
        if self.authority:
            import trustme  # noqa: PLC0415 - only here

            ca = trustme.CA()
            ca.cert_pem.write_to_path(self.authority)
            ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
                Path(self._scratch.name, "server.pem")
            )
            arguments = [str(Path(self._scratch.name, "server.pem"))]
            self._context = ssl.create_default_context(cafile=self.authority)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.simulated_aws.server", behaviour.to_json(), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_TESTS,
            env={
                **os.environ,
                "TMPDIR": self._scratch.name,
            },  # the user's modules that workers unpack go with it
        )
        assert self._process.stdout is not None
        self.endpoint_url = (
            f"http{'s' if tls else ''}://127.0.0.1:{int(self._process.stdout.readline())}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._scratch.cleanup()

    def session(
        self, *, workers: int, window: int | None = None, key: bytes | None = None, **settings: Any
    ) -> Session:
        """Open a session on a new stack there; ``window``: most jobs in flight."""
        key = key or secrets.token_bytes(32)
        self.tell("/_function", {"kind": "dolambda", "key": key.hex()})
        return session_on(self.endpoint_url, key, workers=workers, window=window, **settings)

    def tell(self, path: str, what: dict[str, Any]) -> None:
        """See `server`."""
        # Our own.
        request = urllib.request.Request(self.endpoint_url + path, json.dumps(what).encode())  # noqa: S310
        urllib.request.urlopen(request, timeout=30, context=self._context).close()  # noqa: S310

    def behave(self, **changes: Any) -> None:
        """Change the behaviour from now on."""
        self.tell("/_behave", changes)

    def seen(self) -> dict[str, Any]:
        """Counts since the last session was opened."""
        with urllib.request.urlopen(  # noqa: S310 - our own
            self.endpoint_url + "/_seen", timeout=30, context=self._context
        ) as answer:
            seen: dict[str, Any] = json.load(answer)
        return seen


def session_on(
    endpoint_url: str,
    key: bytes,
    *,
    workers: int,
    window: int | None = None,
    boto3_session: Any = None,
    **settings: Any,
) -> Session:
    """Open a session on the stack that stands there, whose jobs are sealed with ``key``;
    ``boto3_session`` for its credentials.
    """
    chosen = Settings.resolve(
        region="us-east-1", endpoint_url=endpoint_url, environ={}, directory=Path("/"), **settings
    )
    stack = Stack(
        name="dolambda",
        region="us-east-1",
        bucket="bucket",
        key=key,
        python=PYTHON,
        architecture="x86_64",
        memory=1769,
        timeout=chosen.timeout,
        workers=workers,
    )
    account = Account.from_settings(
        chosen,
        Credentials(session=boto3_session)
        if boto3_session
        else Credentials("simulated", "simulated"),
    )
    return Session._from_stack(chosen, account, stack, workers, window or workers)
