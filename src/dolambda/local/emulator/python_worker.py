"""An execution environment of a Python function, as the emulator starts it.

**Input:** a function's configuration and code, and its invocations. **Output:** replies and lines
of the log, from the real awslambdaric.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import secrets
import select
import shlex
import sys
import threading
import zipfile
from typing import IO, Any

from ministack.core import lambda_runtime as runtime

from . import sandbox
from .layers import layers_directory, link_bundle

_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PIPE = 1 << 16  # bytes that a pipe holds at most, so that one read takes all of them
SANDBOX = os.environ.pop("DOLAMBDA_LOCAL_SANDBOX", "")  # "", "yes", or "cpu" to limit the CPU too
_STORAGE_MB = 512
SECRET = secrets.token_hex(16)  # in the path of Python workers' requests: only they know it
_RUN = """
import os, sys
sys.path[0] = os.getcwd()
from awslambdaric import __main__ as runtime, lambda_runtime_client as client
address, _, secret = os.environ["AWS_LAMBDA_RUNTIME_API"].partition("/")
os.environ["AWS_LAMBDA_RUNTIME_API"] = address
ask = client.BaseLambdaRuntimeClient.call_rapid
client.BaseLambdaRuntimeClient.call_rapid = (
    lambda self, method, path, *more, **named: ask(self, method, f"/{secret}{path}", *more, **named)
)
runtime.main(sys.argv)
"""  # the compiled part has read the whole address by then; the other part accepts no path


class PythonWorker(runtime.ProvidedWorker):
    """An execution environment whose bootstrap is Lambda's own Python client.

    If it is `retired`, it ends after its current invocation.
    """

    retired = False

    def __init__(self, name: str, config: dict[str, Any], code: bytes) -> None:
        """Add the bootstrap, which AWS has in its image, to the function's code."""
        opt = layers_directory(config.get("Layers", []))
        bundle = link_bundle(config)
        seen = sandbox.LAYERS if SANDBOX else opt
        path = f"{seen}/python/lib/{_VERSION}/site-packages:{seen}/python"
        program = sandbox.python() if SANDBOX else sys.executable
        command = f'"{program}" -c {shlex.quote(_RUN)} "$_HANDLER"'
        storage = config.get("EphemeralStorage", {}).get("Size", _STORAGE_MB)
        bootstrap = (
            f'#!/bin/sh\nexport PYTHONPATH="{path}" LD_LIBRARY_PATH="{seen}/lib" '
            f'PATH="{seen}/bin:$PATH"\n'
            f"export AWS_EXECUTION_ENV=AWS_Lambda_{_VERSION} "
            f"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/{name}\n"
            + (sandbox.script(command, opt, storage, bundle) if SANDBOX else f"exec {command}\n")
        )
        self._confined = sandbox.Confined(
            lambda: self._proc.pid if self._proc else None,
            int(config.get("MemorySize", 128)),
            limit_cpu=SANDBOX == "cpu",
        )
        file = io.BytesIO(code)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(zipfile.ZipInfo("bootstrap", (1980, 1, 1, 0, 0, 0)), bootstrap)
        super().__init__(name, config, file.getvalue())
        self._taking = threading.Lock()  # two threads read the output
        self._begun = b""  # a line without its end

    def invoke(self, event: Any, request_id: str, **more: Any) -> dict[str, Any]:
        """Run one invocation. A sandbox is frozen outside of it."""
        if not SANDBOX:
            return dict(super().invoke(event, request_id, **more))
        with self._confined.running():
            result = dict(super().invoke(event, request_id, **more))
        if self._confined.killed:
            text = f"RequestId: {request_id} Error: Runtime exited with error: signal: killed"
            payload = {"errorMessage": text, "errorType": "Runtime.ExitError"}
            result |= {"status": "error", "error": text, "error_payload": payload}
        return result

    @property
    def failed(self) -> bool:
        """True if its process could not be started, or is gone."""
        return self._proc is None and self._generation > 0

    def _build_handler_class(self, generation: int, pending: Any) -> type[Any]:
        """Return a handler for clients with the secret, without Nagle's delay of 40 ms an event."""
        handler: type[Any] = super()._build_handler_class(generation, pending)

        class Own(handler):
            disable_nagle_algorithm = True
            path: str

            def parse_request(self) -> bool:
                if not super().parse_request():
                    return False
                if not self.path.startswith(f"/{SECRET}/"):
                    self.send_error(403)
                    return False
                self.path = self.path.removeprefix(f"/{SECRET}")
                return True

        return Own

    def _pump_output(self, stream: IO[bytes], log_queue: queue.Queue[str]) -> None:
        """Read the output until the process ends, between invocations and from a full pipe."""
        printed = select.poll()
        printed.register(stream, select.POLLIN)
        more = True
        while more:
            printed.poll()
            with self._taking:
                more = self._take_output(stream, log_queue)
                if not more:
                    stream.close()

    def _drain_stderr_bounded(self, *_waits: float, **_named: float) -> str:
        """Return all output before the reply: it is in the pipe already, so there is no wait."""
        process = self._proc
        with self._taking:
            if process is not None and not process.stdout.closed:
                self._take_output(process.stdout, self._stderr_queue)
        return str(self._drain_stderr())

    def _take_output(self, stream: IO[bytes], log_queue: queue.Queue[str]) -> bool:
        """Move the content of the pipe into the queue, line by line.

        Return whether more can arrive.
        """
        os.set_blocking(stream.fileno(), False)
        try:
            content = os.read(stream.fileno(), _PIPE)
        except BlockingIOError:  # the other thread was faster
            return True
        *lines, self._begun = (self._begun + content).split(b"\n")
        if not content and self._begun:
            lines, self._begun = [self._begun], b""
        for line in lines:
            # The oldest line is dropped: the function must not wait for a reader.
            if log_queue.full():
                with contextlib.suppress(queue.Empty):
                    log_queue.get_nowait()
            log_queue.put_nowait(line.decode(errors="replace").rstrip("\r"))
        return bool(content)


def is_python(config: dict[str, Any]) -> bool:
    """Return whether a function has one of the managed Python runtimes."""
    return str(config.get("Runtime", "")).startswith("python")
