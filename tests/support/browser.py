"""Chromium without a screen, over its debugging pipe: open a page, ask it, take its picture."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

PROGRAM = "chromium"
_ANSWER_S = 60.0


class Browser:
    """One page in a Chromium of its own. As a context manager it ends with the block."""

    def __init__(self, *, width: int = 1200, height: int = 900) -> None:
        """Start it."""
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        its_in, self._to = os.pipe()
        self._from, its_out = os.pipe()
        # Its pipe is descriptors 3 and 4, by its own rule.
        script = f'exec "$0" "$@" 3<&{its_in} 4>&{its_out}'
        options = (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._profile}",
            f"--window-size={width},{height}",
            "about:blank",
        )
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", script, PROGRAM, *options],
            pass_fds=(its_in, its_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_in)
        os.close(its_out)
        self._left = b""
        self._number = 0
        self._session: str | None = None
        self._context: str | None = None
        self._size = width, height
        self.messages: list[str] = []
        self.forget()

    def forget(self) -> None:
        """Replace the page by an empty one, which knows nothing of the former: cookies, sizes."""
        self._session, before = None, self._context
        self._context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call(
            "Target.createTarget", url="about:blank", browserContextId=self._context
        )["targetId"]
        if before:
            self.call("Target.disposeBrowserContext", browserContextId=before)
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.messages = []
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")
        self.resize(*self._size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol; return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            answer = self._next_message(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])
            noted = answer.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}
            if noted and answer.get("sessionId") == self._session:
                self.messages.append(json.dumps(answer["params"]))
        raise TimeoutError(method)

    def _next_message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))[0]
            if not ready:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self._from, 1 << 20)
            if not data:
                raise EOFError("Chromium has ended")
            self._left += data
        message, _, self._left = self._left.partition(b"\0")
        return dict(json.loads(message))

    def resize(self, width: int, height: int) -> None:
        """Give the page another size."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, scheme: str, media: str = "") -> None:
        """Let the page be "light" or "dark", on the medium "print" if wanted."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, address: str) -> None:
        """Open a page."""
        self.call("Page.navigate", url=address)

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str, *, within: float = 60) -> Any:
        """Return the value of an expression once it is true."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            with contextlib.suppress(AssertionError):  # a page that is just being left
                if value := self.ask(expression):
                    return value
            time.sleep(0.05)
        raise TimeoutError(f"{expression}: {self.ask('document.documentElement.outerHTML')[:2000]}")

    def picture(self, to: Path, height: int | None = None) -> None:
        """Write the page, or its first lines of pixels, as a PNG file."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        tall = height or size["height"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": tall, "scale": 1}
        data = self.call(
            "Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True
        )
        to.write_bytes(base64.b64decode(data["data"]))
