"""The worker function. On entry: role, bucket and layer stand; on leaving: it is active and as wanted."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import error_code, translated
from dolambda.environment.archive import digest_of
from dolambda.environment.worker_zip import worker_code, worker_zip
from dolambda.provision.plan import Change, wait_until
from dolambda.stack import packed, reserved_concurrency
from dolambda.wire import signing_keys
from dolambda.wire.task import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.environment.layer import Contents
    from dolambda.provision.names import Names
    from dolambda.settings import Settings

_HANDLER = "dolambda.handler.handler"
_MB_PER_VCPU = 1769
_ASYNC = {
    "MaximumRetryAttempts": 0
}  # dispatch owns the retries: Lambda's own would run a job again unnoticed
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_EVENT_AGE = (60, 21_600)
_PATIENCE = 120


class Function:
    """See `Resource`."""

    def __init__(
        self,
        account: Account,
        names: Names,
        settings: Settings,
        *,
        runtime: str,
        architecture: str,
        workers: int,
        contents: Contents,
        layer_arns: Callable[[], list[str]],
    ) -> None:
        """``layer_arns`` is asked when the layers are there."""
        self._lambda = account.client("lambda")
        self._names = names
        self._settings = settings
        self._runtime = runtime
        self._architecture = architecture
        self._workers = workers
        self._contents = contents
        self._layer_arns = layer_arns
        self._code = worker_zip()

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        title = f"function {self._names.stack}"
        found = self._found()
        if found is None:
            what = f"{self._runtime}, {self._architecture}, {self._settings.memory} MB, {self._settings.timeout} s"
            return [Change("create", title, what, self._create)]
        changes = []
        wanted = self._wanted(found)
        differing = sorted(name for name, value in wanted.items() if _shown(found, name) != value)
        if differing:
            changes.append(
                Change(
                    "update",
                    title,
                    f"{', '.join(differing)} differ",
                    lambda: self._configure(wanted),
                )
            )
        if found["CodeSha256"] != base64.b64encode(hashlib.sha256(self._code).digest()).decode():
            changes.append(Change("update", title, "its code is another version's", self._put_code))
        if found.get("Architectures", ["x86_64"]) != [self._architecture]:
            changes.append(
                Change("update", title, f"architecture to {self._architecture}", self._put_code)
            )
        if self._reserved() != self._settings.concurrency:
            wanted_fuse = self._settings.concurrency or "no"
            changes.append(
                Change(
                    "update",
                    title,
                    f"{wanted_fuse} reserved concurrency, the fuse",
                    self._put_concurrency,
                )
            )
        if not self._own_retries():
            changes.append(Change("update", title, "Lambda's own retries off", self._put_async))
        return changes

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        return (
            [
                Change(
                    "remove", f"function {self._names.stack}", "with its signing key", self._remove
                )
            ]
            if self._found()
            else []
        )

    def _found(self) -> dict[str, Any] | None:
        with translated():
            try:
                return dict(self._lambda.get_function_configuration(FunctionName=self._names.stack))
            except self._lambda.exceptions.ResourceNotFoundException:
                return None

    def _wanted(self, found: dict[str, Any] | None) -> dict[str, Any]:
        """Arguments of create and update alike; signing keys are kept, the first is made here."""
        variables = ((found or {}).get("Environment") or {}).get("Variables", {})
        threads = str(max(1, -(-self._settings.memory // _MB_PER_VCPU)))
        return {
            "Runtime": self._runtime,
            "Handler": _HANDLER,
            "Role": self._names.role_arn,
            "MemorySize": self._settings.memory,
            "Timeout": self._settings.timeout,
            "EphemeralStorage": {"Size": max(self._settings.storage, self._contents.storage)},
            "Layers": [*self._settings.layers, *self._layer_arns()],
            "Environment": {
                "Variables": {
                    signing_keys.KEY: signing_keys.new(),
                    **signing_keys.found(variables),
                    "DOLAMBDA_BUCKET": self._names.bucket,
                    "DOLAMBDA_WORKERS": str(self._workers),
                    "DOLAMBDA_PYTHON_VERSION": PYTHON,
                    **(
                        {"DOLAMBDA_PYTHON": self._settings.interpreter}
                        if self._settings.runtime
                        else {}
                    ),
                    "DOLAMBDA_CODE": f"{worker_code()}:{digest_of(self._code)}",
                    "DOLAMBDA_REQUIRES": packed(self._contents.requires),
                    **self._bundle(variables.get("DOLAMBDA_BUNDLE", "")),
                    "JOBLIB_MULTIPROCESSING": "0",  # no /dev/shm on Lambda: nested joblib calls run sequentially
                    **dict.fromkeys(_THREADS, threads),
                }
            },
        }

    def _bundle(self, found: str) -> dict[str, str]:
        """Name of the bundle and digest of its zip, which the worker checks. The zip is only made when the name has changed."""
        bundle = self._contents.bundle
        if bundle is None:
            return {}
        known = (
            found
            if found.startswith(f"{bundle.digest}:")
            else f"{bundle.digest}:{digest_of(bundle.content)}"
        )
        return {"DOLAMBDA_BUNDLE": known}

    def _create(self) -> None:
        wanted = self._wanted(None)

        def created() -> bool:
            with translated():
                try:
                    self._lambda.create_function(
                        FunctionName=self._names.stack,
                        Code={"ZipFile": self._code},
                        Architectures=[self._architecture],
                        Description="dolambda worker: runs the jobs put under jobs/ of its bucket",
                        Tags=self._names.tags,
                        **wanted,
                    )
                except self._lambda.exceptions.InvalidParameterValueException as error:
                    if "assume" in str(
                        error
                    ):  # a new role takes some seconds to be known everywhere
                        return False
                    raise
            return True

        wait_until(
            created, f"that Lambda may assume the role {self._names.role}", seconds=_PATIENCE
        )
        self._settle()
        self._put_concurrency()
        self._put_async()

    def _reserved(self) -> int | None:
        return reserved_concurrency(self._lambda, self._names.stack)

    def _put_concurrency(self) -> None:
        wanted = self._settings.concurrency
        with translated():
            if wanted is not None:
                self._lambda.put_function_concurrency(
                    FunctionName=self._names.stack, ReservedConcurrentExecutions=wanted
                )
            elif self._reserved() is not None:
                self._lambda.delete_function_concurrency(FunctionName=self._names.stack)

    def _configure(self, wanted: dict[str, Any]) -> None:
        with translated():
            self._lambda.update_function_configuration(FunctionName=self._names.stack, **wanted)
        self._settle()

    def _put_code(self) -> None:
        with translated():
            self._lambda.update_function_code(
                FunctionName=self._names.stack,
                ZipFile=self._code,
                Architectures=[self._architecture],
            )
        self._settle()

    def _own_retries(self) -> bool:
        with translated():
            try:
                found = self._lambda.get_function_event_invoke_config(
                    FunctionName=self._names.stack
                )
            except self._lambda.exceptions.ResourceNotFoundException:
                return False
        return all(found.get(name) == value for name, value in self._async().items())

    def _async(self) -> dict[str, int]:
        low, high = _EVENT_AGE
        return {
            **_ASYNC,
            "MaximumEventAgeInSeconds": int(min(max(self._settings.max_wait, low), high)),
        }

    def _put_async(self) -> None:
        with translated():
            self._lambda.put_function_event_invoke_config(
                FunctionName=self._names.stack, **self._async()
            )

    def _settle(self) -> None:
        wait_until_active(self._lambda, self._names.stack)

    def _remove(self) -> None:
        with translated():
            try:
                self._lambda.delete_function_event_invoke_config(FunctionName=self._names.stack)
            except self._lambda.exceptions.ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise
            self._lambda.delete_function(FunctionName=self._names.stack)


def wait_until_active(client: Any, function: str) -> None:
    """Wait until what was changed is so for every invocation to come."""

    def settled() -> bool:
        with translated():
            try:
                found = client.get_function_configuration(FunctionName=function)
            except (
                client.exceptions.ResourceNotFoundException
            ):  # its making is only printed, as a command
                return True
        return bool(
            found.get("State", "Active") == "Active"
            and found.get("LastUpdateStatus", "Successful") != "InProgress"
        )

    wait_until(settled, f"that function {function} is active", seconds=_PATIENCE)


def _shown(found: dict[str, Any], name: str) -> object:
    """A configured value in the shape in which it is given."""
    if name == "Layers":
        return [layer["Arn"] for layer in found.get("Layers", [])]
    if name == "EphemeralStorage":
        return found.get("EphemeralStorage", {"Size": 512})
    if name == "Environment":
        return {"Variables": found.get("Environment", {}).get("Variables", {})}
    return found.get(name)
