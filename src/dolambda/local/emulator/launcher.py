"""Start of ministack, so that Python functions run as they do on Lambda.

It runs in the emulator's environment.

The changes, each with what stock ministack does instead (measured with the pinned version):

- A python* runtime runs the real awslambdaric over ministack's Runtime API. So errors have the form
  of AWS's, and ten times as many short calls run in a second. Layers are in one directory, in
  order, behind the function's own code, like /opt. Packages that the client has laid out in its
  cache are used from there, and neither uploaded nor unpacked.
- Async events (from S3) wait for a free slot, as in Lambda's event queue. Stock drops them after
  three immediate attempts.
- The output of an invocation is read when it replies, and is then complete. Stock holds it for 50
  ms in case a line should arrive. A line that arrives later is given to the next invocation, if
  any.
- An invocation that runs while its function is updated runs to its end, as on Lambda. Stock kills
  it.
- Some environments of a new function are started at once, and it is Pending for 0.02 s. Stock waits
  for the first event, and for 0.5 s.
- Reading and removing a reserved concurrency need IAM actions of their own. Stock asks for
  PutFunctionConcurrency.
- On request, functions run in a sandbox as on Lambda, see sandbox.py.
- Functions inherit only PATH and the like from this process's environment.
- A gateway precedes the emulator, see gateway.py. Stock accepts some keys without checking the
  signature, and replies to web pages and other users.

**Input:** environment variables and a bound socket, see guardian.py. **Output:** a server that runs
until it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib.util
import os
import resource
import socketserver
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ministack.core import iam_actions, iam_evaluator, responses
from ministack.core import lambda_runtime as runtime
from ministack.services import lambda_svc as service

from .gateway import Gateway
from .layers import TEMPORARY
from .peers import OwnConnections, is_own
from .python_worker import SANDBOX, SECRET, PythonWorker, is_python
from .sigv4 import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .gateway import Rule

_SLOTS = threading.BoundedSemaphore(int(os.environ["DOLAMBDA_LOCAL_SLOTS"]))
_RETIRED = "-retired"
_AHEAD = 4  # environments that are started at most before they are needed
_PENDING_S = 0.02  # seconds in which a function is Pending after a change
_KEPT_IDLE_S = 5 if SANDBOX else 75  # S3 closes idle connections after some seconds
_FOR_FUNCTIONS = ("PATH", "LANG", "LC_ALL", "TMPDIR", "HOME", "TZ", "SSL_CERT_FILE")


def retire(function: str, qualifier: str) -> None:
    """Take the busy environments out of a function's pool, without ending them."""
    with runtime._lock:
        for key in [key for key in runtime._workers if key.endswith(f":{function}:{qualifier}")]:
            retired = [
                one
                for one in runtime._workers[key]
                if isinstance(one, PythonWorker) and one.in_use and not one.failed
            ]
            for worker in retired:
                worker.retired = True
                runtime._workers[key].remove(worker)
            runtime._workers.setdefault(key + _RETIRED, []).extend(retired)


def end_retired(worker: PythonWorker) -> None:
    """End an environment that has finished its invocation."""
    with runtime._lock:
        for workers in [found for key, found in runtime._workers.items() if key.endswith(_RETIRED)]:
            if worker in workers:
                workers.remove(worker)
    runtime.kill_workers([worker])


def install_retiring() -> None:
    """Install the changes that let environments finish their invocation."""
    invalidate, release = service.invalidate_worker, service.release_worker

    def invalidate_idle(function: str, qualifier: str | None = None, **where: Any) -> None:
        if qualifier:  # otherwise the whole function is deleted
            retire(function, qualifier)
        invalidate(function, qualifier, **where)

    def release_or_end(worker: Any) -> None:
        release(worker)
        if isinstance(worker, PythonWorker) and worker.retired:
            end_retired(worker)

    service.invalidate_worker = invalidate_idle
    service.release_worker = release_or_end


def start_ahead(function: str) -> None:
    """Start some environments of a new function.

    An invocation that arrives meanwhile gets one, and waits until it is ready.
    """
    found = service._functions[function]
    config = found["config"]
    if not (is_python(config) and found.get("code_zip")):
        return
    leased = [
        runtime.acquire_worker(function, config, found["code_zip"], qualifier="$LATEST")[0]
        for _ in range(min(_AHEAD, int(os.environ["DOLAMBDA_LOCAL_SLOTS"])))
    ]
    for worker in filter(None, leased):
        taken = threading.Event()
        threading.Thread(target=spawn, args=(worker, taken), daemon=True).start()
        taken.wait()
        runtime.release_worker(worker)


def spawn(worker: PythonWorker, taken: threading.Event) -> None:
    """Start an environment.

    If that fails, the first invocation tries again, and reports the error.
    """
    with worker._lock, contextlib.suppress(Exception):
        taken.set()
        worker._spawn()


def install_starting_ahead() -> None:
    """Install the start of environments before the first invocation, without a delay for it."""
    service._LAMBDA_STATE_TRANSITION_DELAY = _PENDING_S
    schedule = service._schedule_state_transition

    def schedule_and_start(function: str, delay: float) -> None:
        new = not any(f":{function}:" in key for key in runtime._workers)
        schedule(function, delay)
        if new:
            context = contextvars.copy_context()
            threading.Thread(target=context.run, args=(start_ahead, function), daemon=True).start()

    service._schedule_state_transition = schedule_and_start


def install() -> None:
    """Install all other changes."""
    install_python_workers()
    install_async_in_turn()
    action_of = iam_actions._lambda_action

    def action(method: str, path: str) -> str | None:
        if path.endswith("/concurrency") and method in {"GET", "DELETE"}:
            return f"{method.capitalize()}FunctionConcurrency"
        return action_of(method, path)  # type: ignore[no-any-return] # ministack has no types

    iam_actions._lambda_action = action


def install_python_workers() -> None:
    """Install `PythonWorker` for Python functions, in a clean environment."""
    class_for, warm = runtime._worker_class_for, service._execute_function_warm
    environment = service._provided_worker_env

    def execute_warm(function: dict[str, Any], event: Any, request: str) -> Any:
        python = is_python(function.get("config") or function)
        return (service._execute_function_provided_warm if python else warm)(
            function, event, request
        )

    def clean_environment(config: dict[str, Any], *args: Any) -> dict[str, str]:
        found: dict[str, str] = environment(config, *args)
        if is_python(config):
            found["AWS_LAMBDA_RUNTIME_API"] += f"/{SECRET}"
        own = {*service._runtime_env_vars(config), *_FOR_FUNCTIONS}
        kept = {
            name: value
            for name, value in found.items()
            if name not in os.environ or name in own or name.startswith("AWS_")
        }
        TEMPORARY.mkdir(exist_ok=True)
        return kept | {"TMPDIR": str(TEMPORARY)}

    runtime._worker_class_for = lambda config: (
        PythonWorker if is_python(config) else class_for(config)
    )
    service._execute_function_warm = execute_warm
    service._provided_worker_env = clean_environment


def install_async_in_turn() -> None:
    """Install the limit of asynchronous invocations to the number of slots."""
    invoke_async, execute = service.invoke_async_with_retry, service._execute_function
    is_async = contextvars.ContextVar("is_async", default=False)

    def invoke_marked(function: dict[str, Any], event: Any) -> None:
        token = is_async.set(True)
        try:
            invoke_async(function, event)
        finally:
            is_async.reset(token)

    def execute_in_turn(function: dict[str, Any], event: Any) -> Any:
        if not is_async.get():
            return execute(function, event)
        with _SLOTS:
            return execute(function, event)

    service.invoke_async_with_retry = invoke_marked
    service._execute_function = execute_in_turn


def refuse_others() -> None:
    """Limit the servers of the Runtime API to this user's processes."""

    def verify_request(_server: Any, request: Any, client_address: Any) -> bool:
        return is_own(client_address, request.getsockname())

    socketserver.BaseServer.verify_request = verify_request  # type: ignore[assignment,method-assign]


def secret_of(key: str, token: str) -> str:
    """Return the secret of a key: root's, an IAM user's, or that of a role's session.

    Raises:
        KeyError: The key does not exist.
        RefusedError: The session token is wrong.
    """
    if key == os.environ["AWS_ACCESS_KEY_ID"] and not token:
        return os.environ["AWS_SECRET_ACCESS_KEY"]
    if iam_evaluator.is_root_access_key(key):  # other keys that stock accepts as root's
        raise KeyError(key)
    account = (
        responses._account_from_sts_session(key)
        or iam_evaluator.find_iam_access_key_account(key)
        or responses.get_account_id()
    )
    found = iam_evaluator.resolve_credential(key, account, token)
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        if found.code == "ExpiredTokenException":
            raise RefusedError("s3", "expired", found.message)
        raise KeyError(key)
    return str(found.secret_access_key)


def rules_of(files: str) -> list[Rule]:
    """Return the rules of the functions ``rules`` in some files, in order, see gateway.py."""
    found: list[Rule] = []
    for number, file in enumerate(filter(None, files.split(os.pathsep))):
        sys.path.insert(0, str(Path(file).parent))
        spec = importlib.util.spec_from_file_location(f"rules_{number}", file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.rules()
    return found


def serve(app: Any, descriptor: int, rules: Sequence[Rule]) -> None:
    """Serve the emulator behind the gateway, on a bound socket, until this process is killed."""
    from hypercorn.asyncio.run import worker_serve  # noqa: PLC0415 - after ministack has adapted it
    from hypercorn.config import Config, Sockets  # noqa: PLC0415
    from hypercorn.utils import wrap_app  # noqa: PLC0415

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listening = OwnConnections(fileno=descriptor)
    listening.set_inheritable(False)
    listening.settimeout(0)
    address, port = listening.getsockname()
    gateway = Gateway(
        app, f"{address}:{port}", os.environ["AWS_SECRET_ACCESS_KEY"], secret_of, rules
    )
    config = Config()
    config.keep_alive_timeout = _KEPT_IDLE_S
    config.loglevel = os.environ["LOG_LEVEL"]
    asyncio.run(
        worker_serve(
            wrap_app(gateway, config.wsgi_max_body_size, "asgi"),
            config,
            sockets=Sockets([], [listening], []),
        )
    )


def main() -> None:
    """Serve until this process is killed."""
    from ministack.app import app  # noqa: PLC0415 - slow, and tests of the rest do not need it

    install()
    install_retiring()
    install_starting_ahead()
    refuse_others()
    serve(
        app,
        int(os.environ.pop("DOLAMBDA_LOCAL_SOCKET")),
        rules_of(os.environ.pop("DOLAMBDA_LOCAL_RULES", "")),
    )
