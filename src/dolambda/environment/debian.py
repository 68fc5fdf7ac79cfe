"""Debian's binary packages, for any architecture, without root and without changing this system.

**Input:** names of packages. **Output:** a directory into which they and all their dependencies are
unpacked.

apt finds the packages and checks their signatures. It uses directories of its own, the given
architecture, and an empty list of installed packages.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PATIENCE_S = 600
_DEBIAN = {"x86_64": "amd64", "arm64": "arm64"}
_UNKNOWN = "Check the name of the package. In Debian it is r-cran-<name>, in lower case."
_UNREAD = (
    "Run `apt-get update` to see whether Debian's mirrors can be reached and their signatures"
    " checked, or take the layers from a release and deploy with --r-layers FILE."
)
_NO_APT = (
    "Build the layers on a machine with Debian or Ubuntu (`dolambda r-layers FILE`), or take them"
    " from a release, and deploy with --r-layers FILE."
)


def this_architecture() -> str:
    """Return the architecture of this machine, as Lambda spells it."""
    return "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


@dataclass(frozen=True)
class Apt:
    """The program apt, with directories of its own."""

    directory: Path
    architecture: str

    @classmethod
    def from_directory(cls, directory: Path, architecture: str) -> Apt:
        """Fetch the lists of packages.

        Raises:
            ConfigurationError: apt is not installed, or fails.
        """
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise ConfigurationError(
                "the layers of R are built from Debian packages, but apt is not installed",
                hint=_NO_APT,
            )
        for place in ("lists/partial", "cache/archives/partial", "debs", "root"):
            (directory / place).mkdir(parents=True, exist_ok=True)
        (directory / "status").touch()
        apt = cls(directory, architecture)
        apt._run("update", hint=_UNREAD)
        return apt

    def known(self, prefix: str) -> frozenset[str]:
        """Return the names of the packages that begin so."""
        return frozenset(self._run("pkgnames", prefix, program="apt-cache").split())

    def unpack(self, names: Sequence[str]) -> Path:
        """Download packages with their dependencies, and unpack them.

        Returns:
            The directory with the unpacked files.

        Raises:
            ConfigurationError: apt fails, for example because a package does not exist.
        """
        wanted = self._resolved(names)
        self._run("download", *wanted, cwd=self.directory / "debs")
        root = self.directory / "root"
        for package in sorted((self.directory / "debs").glob("*.deb")):
            _call(["dpkg-deb", "--extract", str(package), str(root)])
            package.unlink()
        return root

    def _resolved(self, names: Sequence[str]) -> list[str]:
        """Return the packages with all their dependencies, each with its version."""
        printed = self._run("install", "--simulate", "--no-install-recommends", "--yes", *names)
        chosen = [line.split() for line in printed.splitlines() if line.startswith("Inst ")]
        return [f"{words[1].split(':')[0]}={words[2].lstrip('(')}" for words in chosen]

    def _run(
        self,
        *arguments: str,
        cwd: Path | None = None,
        program: str = "apt-get",
        hint: str = _UNKNOWN,
    ) -> str:
        own = {
            "APT::Architecture": _DEBIAN[self.architecture],
            "APT::Architectures": _DEBIAN[self.architecture],
            "APT::Get::AllowUnauthenticated": "false",
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "true",
            "Dir::State::lists": str(self.directory / "lists"),
            "Dir::State::status": str(self.directory / "status"),
            "Dir::Cache": str(self.directory / "cache"),
        }
        options = [part for name, value in own.items() for part in ("-o", f"{name}={value}")]
        return _call([program, "-qq", *options, *arguments], cwd=cwd, hint=hint)


def _call(command: Sequence[str], cwd: Path | None = None, hint: str = _UNKNOWN) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(
            f"{command[0]} took more than {_PATIENCE_S} s",
            hint="Check that its mirror can be reached.",
        ) from error
    if done.returncode:
        said = "\n    ".join(done.stderr.strip().splitlines()[-5:])
        raise ConfigurationError(f"{command[0]} failed:\n    {said}", hint=hint)
    return done.stdout
