"""Real R, for tests: the package installed into a library of its own, and scripts run with it.

The tests are marked with ``needs("Rscript")``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolambda.aws.account import Credentials
    from dolambda.settings import Settings

RSCRIPT = shutil.which("Rscript")
PACKAGE = Path(__file__).parents[2] / "r" / "doLambda"

_REGISTER = """
suppressPackageStartupMessages({ library(foreach); library(doLambda) })
register <- function(...) {
  given <- list(key = Sys.getenv("TEST_KEY"), secret = Sys.getenv("TEST_SECRET"), region = Sys.getenv("TEST_REGION"),
    endpoint_url = Sys.getenv("TEST_ENDPOINT"), progress = FALSE)
  do.call(registerDoLambda, utils::modifyList(given, list(...)))
}
"""


@dataclass(frozen=True)
class RSession:
    """A library with the package, and the stack that its scripts register with."""

    library: Path
    settings: Settings
    credentials: Credentials = field(repr=False)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a script."""
        return {
            **os.environ,
            "LANG": "C.UTF-8",
            "R_LIBS": str(self.library),
            "DOLAMBDA_PYTHON": sys.executable,
            "TEST_KEY": str(self.credentials.key),
            "TEST_SECRET": str(self.credentials.secret),
            "TEST_REGION": str(self.settings.region),
            "TEST_ENDPOINT": str(self.settings.endpoint_url),
            **more,
        }

    def start(self, code: str, **environment: str) -> subprocess.Popen[str]:
        """Start a script. In it, ``register()`` registers with the stack."""
        assert RSCRIPT is not None
        with tempfile.NamedTemporaryFile("w", suffix=".R", delete=False) as file:
            file.write(_REGISTER + code)
        return subprocess.Popen(
            [RSCRIPT, "--vanilla", file.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**environment),
        )

    def run(self, code: str, *, seconds: float = 120, **environment: str) -> str:
        """Run a script; return what it printed. Its failure is the test's."""
        process = self.start(code, **environment)
        try:
            printed, errors = process.communicate(timeout=seconds)
        finally:
            process.kill()
        assert process.returncode == 0, f"{printed}\n{errors}"
        return printed

    def lines(self, code: str, *, seconds: float = 120, **environment: str) -> list[str]:
        """Run a script that registers first; return the lines that it printed."""
        return self.run(f"register()\n{code}", seconds=seconds, **environment).splitlines()


def install_package(library: Path, environment: Mapping[str, str]) -> None:
    """Install the R package from its sources."""
    assert RSCRIPT is not None
    done = subprocess.run(
        [
            str(Path(RSCRIPT).with_name("R")),
            "CMD",
            "INSTALL",
            "--no-docs",
            "-l",
            str(library),
            str(PACKAGE),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(environment),
    )
    assert done.returncode == 0, done.stderr
