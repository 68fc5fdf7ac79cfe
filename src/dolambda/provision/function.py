"""The worker function.

**Input:** role, bucket and layers exist. **Output:** the function is active and as wanted.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import error_code, translated
from dolambda.environment.archive import digest_of
from dolambda.environment.worker_zip import worker_code, worker_zip
from dolambda.provision.differences import differences
from dolambda.provision.function_state import (
    change_settled,
    failure_of,
    tried,
    wait_until_active,
    wait_until_settled,
)
from dolambda.provision.plan import Change, wait_until
from dolambda.stack import packed, refuse_unreadable
from dolambda.wire import signing_keys
from dolambda.wire.task import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dolambda.aws.account import Account
    from dolambda.environment.layer import Contents
    from dolambda.provision.names import Names
    from dolambda.settings import Settings

_HANDLER = "dolambda.handler.handler"
_MB_PER_VCPU = 1769
_ASYNC = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 21_600}
"""Lambda repeats nothing: the scheduler owns the retries. An event that Lambda throttles waits as
long as Lambda allows. A worker refuses a job that arrives after its deadline.
"""

# A worker has a /tmp of its own.
_HOMES = {"HOME": "/tmp", "MPLCONFIGDIR": "/tmp/matplotlib", "NUMBA_CACHE_DIR": "/tmp/numba"}  # noqa: S108
"""Variables for directories: Lambda's user has no home directory, and only /tmp is writable."""

_CERTIFICATES = "/etc/pki/tls/certs/ca-bundle.crt"
"""The file on Amazon Linux. A Python in a layer expects it elsewhere."""

_KEPT = (
    "KMSKeyArn",
    "TracingConfig",
    "DeadLetterConfig",
    "FileSystemConfigs",
    "LoggingConfig",
)
_NETWORK = ("SubnetIds", "SecurityGroupIds", "Ipv6AllowedForDualStack")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PATIENCE = 120


def thread_variables(memory: int) -> dict[str, str]:
    """Return the variables that inform numerical libraries of a worker's number of cores."""
    return dict.fromkeys(_THREADS, str(max(1, -(-memory // _MB_PER_VCPU))))


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
        workers: Callable[[], int],
        contents: Contents,
        layer_arns: Callable[[], list[str]],
        here: bool,
        role_created: Callable[[], datetime | None],
    ) -> None:
        """Prepare the resource. Callables are called when layers and role exist."""
        self._lambda = account.client("lambda")
        self._account = account
        self._names = names
        self._settings = settings
        self._runtime = runtime
        self._architecture = architecture
        self._workers = workers
        self._contents = contents
        self._layer_arns = layer_arns
        self._here = here
        self._role_created = role_created
        self._code = worker_zip()

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        title = f"function {self._names.stack}"
        found = self._found()
        if found is None:
            what = (
                f"{self._runtime}, {self._architecture}, {self._settings.memory} MB, "
                f"{self._settings.timeout} s"
            )
            return [Change("create", title, what, self._create)]
        if found.get("State") == "Failed":
            why = f"created again, because it failed: {failure_of(found)}"
            return [Change("update", title, why, self._make_again)]
        if self._older_than_its_role(found):
            return [Change("update", title, "created again for a new role", self._make_again)]
        return [
            # mypy cannot infer a lambda's defaults.
            Change("update", title, why, lambda apply=apply: self._change(apply))  # type: ignore[misc]
            for why, apply in self._differences(found)
        ]

    def _differences(self, found: dict[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
        """Yield the reason for each change, and the request that makes it."""
        # The code comes first: its version is in the configuration, which clients compare with
        # theirs.
        if found["CodeSha256"] != base64.b64encode(hashlib.sha256(self._code).digest()).decode():
            yield "its code has another version", self._put_code
        if found.get("Architectures", ["x86_64"]) != [self._architecture]:
            yield f"architecture to {self._architecture}", self._put_code
        wanted = self._wanted(found)
        shown = {name: _shown(found, name) for name in wanted}
        differing = differences(shown, wanted)
        if differing or failure_of(found):
            why = "; ".join(differing) or f"its last update failed: {failure_of(found)}"
            yield (
                why,
                lambda: self._lambda.update_function_configuration(
                    FunctionName=self._names.stack, **wanted
                ),
            )
        if not self._own_retries():
            yield "Lambda's own retries off, events wait for 6 h", self._put_async

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        if self._found() is None:
            return []
        title = f"function {self._names.stack}"
        return [Change("remove", title, "with its signing key", self._remove)]

    def _found(self) -> dict[str, Any] | None:
        """Return the function's configuration.

        Raises:
            ProvisionError: The function is not dolambda's.
        """
        with translated():
            try:
                found = self._lambda.get_function_configuration(FunctionName=self._names.stack)
            except self._lambda.exceptions.ResourceNotFoundException:
                return None
        refuse_unreadable(found, self._names.stack, self._names.region)
        return dict(found)

    def _older_than_its_role(self, found: dict[str, Any]) -> bool:
        """Return whether the function was created for an earlier role of the same name.

        Lambda's grant to decrypt the environment belongs to that role, not to its name.
        """
        created = self._role_created()
        try:
            modified = datetime.fromisoformat(found["LastModified"])
        except (KeyError, ValueError):
            return False
        return created is not None and modified.tzinfo is not None and modified < created

    def _wanted(self, found: dict[str, Any] | None) -> dict[str, Any]:
        """Return the arguments of create and update.

        Signing keys are kept, the first is made here. So are variables that others have added.
        """
        variables = ((found or {}).get("Environment") or {}).get("Variables", {})
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
                    **_of_others(variables),
                    signing_keys.KEY: signing_keys.new(),
                    **signing_keys.found(variables),
                    "DOLAMBDA_BUCKET": self._names.bucket,
                    "DOLAMBDA_WORKERS": str(self._workers()),
                    "DOLAMBDA_PYTHON_VERSION": PYTHON,
                    **(
                        {"DOLAMBDA_PYTHON": self._settings.interpreter}
                        if self._settings.runtime
                        else {}
                    ),
                    "DOLAMBDA_CODE": f"{worker_code()}:{digest_of(self._code)}",
                    "DOLAMBDA_REQUIRES": packed(self._contents.requires),
                    **self._bundle(variables.get("DOLAMBDA_BUNDLE", "")),
                    **self._places(),
                    # Lambda has no /dev/shm, so nested joblib calls run sequentially.
                    "JOBLIB_MULTIPROCESSING": "0",
                    **thread_variables(self._settings.memory),
                }
            },
        }

    def _bundle(self, found: str) -> dict[str, str]:
        """Return the bundle's name and the digest of its zip, which the worker checks.

        The zip is made only if the name has changed.
        """
        bundle = self._contents.bundle
        if bundle is None:
            return {}
        known = (
            found
            if found.startswith(f"{bundle.digest}:")
            else f"{bundle.digest}:{digest_of(bundle.content)}"
        )
        return {"DOLAMBDA_BUNDLE": known}

    def _places(self) -> dict[str, str]:
        """Return variables for directories and files that are elsewhere in Lambda's image."""
        if self._here:
            return {}
        places = dict(_HOMES)
        if self._settings.runtime:
            places["SSL_CERT_FILE"] = _CERTIFICATES
        if endpoint := self._account.s3_for_workers:
            # Without AWS_ENDPOINT_URL_S3, which boto3 reads too: tasks may use buckets of other
            # regions.
            places["DOLAMBDA_S3_ENDPOINT"] = endpoint
        return places

    def _create(self) -> None:
        self._make(self._wanted(None))

    def _make_again(self) -> None:
        """Replace the function by one with the same keys, and the same network, encryption, ...

        Its permission follows later.
        """
        found = self._found() or {}
        wanted = _set_by_others(found) | self._wanted(found)
        self._remove()
        self._make(wanted)

    def _make(self, wanted: dict[str, Any]) -> None:
        name = self._names.stack

        def create() -> None:
            self._lambda.create_function(
                FunctionName=name,
                Code={"ZipFile": self._code},
                Architectures=[self._architecture],
                Description="dolambda worker: runs the jobs put under jobs/ of its bucket",
                Tags=self._names.tags,
                **wanted,
            )

        wait_until(
            lambda: tried(self._lambda, create),
            f"that Lambda may assume the role {self._names.role}",
            seconds=_PATIENCE,
        )
        wait_until_active(self._lambda, name)
        self._change(self._put_async)

    def _change(self, request: Callable[[], object]) -> None:
        change_settled(self._lambda, self._names.stack, request)

    def _put_code(self) -> None:
        self._lambda.update_function_code(
            FunctionName=self._names.stack, ZipFile=self._code, Architectures=[self._architecture]
        )

    def _own_retries(self) -> bool:
        with translated():
            try:
                found = self._lambda.get_function_event_invoke_config(
                    FunctionName=self._names.stack
                )
            except self._lambda.exceptions.ResourceNotFoundException:
                return False
        return all(found.get(name) == value for name, value in _ASYNC.items())

    def _put_async(self) -> None:
        self._lambda.put_function_event_invoke_config(FunctionName=self._names.stack, **_ASYNC)

    def _remove(self) -> None:
        name = self._names.stack
        with translated():
            try:
                self._lambda.delete_function_event_invoke_config(FunctionName=name)
            except self._lambda.exceptions.ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise

        def remove() -> None:
            try:
                self._lambda.delete_function(FunctionName=name)
            except self._lambda.exceptions.ResourceNotFoundException:
                return

        def removed() -> bool:
            wait_until_settled(self._lambda, name)
            return tried(self._lambda, remove)

        wait_until(removed, f"the removal of function {name}", seconds=_PATIENCE)


def _of_others(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that dolambda never sets, such as a proxy's or those of a monitor."""
    places = {**_HOMES, "SSL_CERT_FILE": _CERTIFICATES}  # not set in every stack
    return {
        name: value
        for name, value in variables.items()
        if not name.startswith("DOLAMBDA_") and places.get(name) != value
    }


def _set_by_others(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what dolambda never sets of a function, in the form of the request."""
    kept = {name: found[name] for name in _KEPT if found.get(name)}
    network = found.get("VpcConfig", {})
    if network.get("SubnetIds"):
        kept["VpcConfig"] = {name: network[name] for name in _NETWORK if name in network}
    return kept


def _shown(found: dict[str, Any], name: str) -> object:
    """Return a configured value in the form of the request."""
    if name == "Layers":
        return [layer["Arn"] for layer in found.get("Layers", [])]
    if name == "EphemeralStorage":
        return found.get("EphemeralStorage", {"Size": 512})
    if name == "Environment":
        return {"Variables": found.get("Environment", {}).get("Variables", {})}
    return found.get(name)
