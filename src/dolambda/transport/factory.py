"""The transports to one stack.

**Input:** an account and a stack. **Output:** transports, by their names in the settings.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dolambda.aws.invoke import Invoker
from dolambda.aws.reactor import Reactor
from dolambda.aws.small_objects import SmallObjects
from dolambda.errors import ConfigurationError
from dolambda.transport.clean_up import CleanUp, left
from dolambda.transport.direct.client import Direct
from dolambda.transport.lease.client import Leases
from dolambda.transport.queue.client import S3Queue
from dolambda.transport.uploads import Uploads
from dolambda.wire.compression import has_zstd

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.aws.objects import Bucket
    from dolambda.errors import RunTakenOverError
    from dolambda.stack import Stack
    from dolambda.transport.base import Transport


class TransportFactory:
    """The transports to one stack, each made on first use. They count their requests together."""

    def __init__(
        self,
        account: Account,
        stack: Stack,
        bucket: Bucket,
        client: str,
        throttle: float,
        *,
        clean_up: CleanUp | None = None,
    ) -> None:
        """Prepare the transports. None is made yet. ``clean_up`` limits the time of closing."""
        self._clean_up = clean_up or CleanUp()
        self._account = account
        self._stack = stack
        self._bucket = bucket
        self._client = client
        self._throttle = throttle
        self._reactor = Reactor(account)
        self._uploads = Uploads(
            bucket, zstd=has_zstd() and any(one.startswith("zstandard==") for one in stack.requires)
        )
        self._leases = Leases(bucket, stack.key)
        self._lock = threading.Lock()
        self._made: dict[str, Transport] = {}

    @property
    def account(self) -> Account:
        """The account of the stack."""
        return self._account

    def close(self) -> None:
        """Close the transports that were made."""
        for way in self._made.values():
            way.close()
        self._reactor.close(left(self._clean_up.until()))

    def of(self, name: str) -> Transport:
        """Return a transport by its name in the settings.

        Raises:
            ConfigurationError: There is no transport of that name.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def keeping(self, client: str, taken_over: Callable[[], RunTakenOverError | None]) -> Transport:
        """Return a queue for a named run, whose replies stay in the bucket.

        The caller closes it. ``taken_over`` returns an error once another client has the run.
        """
        small = self._small_objects()
        return S3Queue(
            self._bucket,
            small,
            self._uploads,
            self._leases,
            client,
            self._reactor.followers,
            throttle=self._throttle,
            keep=True,
            taken_over=taken_over,
            clean_up=self._clean_up,
        )

    def _small_objects(self) -> SmallObjects:
        bucket, owner = self._bucket, self._stack.account
        return SmallObjects(self._reactor, self._account, bucket.name, bucket.calls, owner)

    def _make(self, name: str) -> Transport:
        if name == "queue":
            small = self._small_objects()
            return S3Queue(
                self._bucket,
                small,
                self._uploads,
                self._leases,
                self._client,
                self._reactor.followers,
                throttle=self._throttle,
                clean_up=self._clean_up,
            )
        if name == "direct":
            invoker = Invoker(self._reactor, self._account, self._stack.name, self._bucket.calls)
            return Direct(
                invoker,
                self._bucket,
                self._uploads,
                self._leases,
                self._client,
                self._reactor.followers,
                clean_up=self._clean_up,
            )
        raise ConfigurationError(
            f"transport={name!r} is not a transport to a stack", hint='Use "queue" or "direct".'
        )
