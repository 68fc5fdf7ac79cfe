"""Shared libraries that packages expect of the system, and that Lambda's images lack.

**Input:** the packages of the workers. **Output:** those libraries, with the packages that need
them.

A wheel may need what its builder took for granted: lightgbm's needs libgomp.so.1, opencv's
libGL.so.1. Locally all of it is installed, but on Lambda the import fails.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from dolambda.environment.elf import needed_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from dolambda.environment.layer import Package

_EVERYWHERE = """
    ld-linux-x86-64.so.2 ld-linux-aarch64.so.1 libc.so.6 libm.so.6 libmvec.so.1 libdl.so.2
    libpthread.so.0 librt.so.1 libutil.so.1 libresolv.so.2 libanl.so.1 libthread_db.so.1
    libnss_files.so.2 libnss_dns.so.2 libnss_compat.so.2 libgcc_s.so.1 libstdc++.so.6
    libz.so.1 libbz2.so.1 liblzma.so.5 libsqlite3.so.0 libpython3.so linux-vdso.so.1
"""
_AMAZON_LINUX_2023 = """
    libzstd.so.1 liblz4.so.1 libssl.so.3 libcrypto.so.3 libcurl.so.4 libxml2.so.2 libffi.so.8
    libglib-2.0.so.0 libgobject-2.0.so.0 libgio-2.0.so.0 libgmodule-2.0.so.0 libgthread-2.0.so.0
    libpcre2-8.so.0 libuuid.so.1 libblkid.so.1 libmount.so.1 libselinux.so.1 libsepol.so.2
    libcap.so.2 libattr.so.1 libacl.so.1 libtinfo.so.6 libncurses.so.6 libncursesw.so.6
    libpanel.so.6 libpanelw.so.6 libform.so.6 libformw.so.6 libmenu.so.6 libmenuw.so.6
    libreadline.so.8 libhistory.so.8 libgmp.so.10 libmpfr.so.6 libidn2.so.0 libunistring.so.2
    libgssapi_krb5.so.2 libkrb5.so.3 libk5crypto.so.3 libkrb5support.so.0 libcom_err.so.2
    libkeyutils.so.1 libnghttp2.so.14 libpsl.so.5 libarchive.so.13 libjson-c.so.5
    libyaml-0.so.2 libcrypt.so.2 libmagic.so.1 libaudit.so.1 libgcrypt.so.20 libgpg-error.so.0
"""
"""What the packages hold that `rpm -qa` lists in Lambda's image of Python 3.12, which is the
minimal container image of Amazon Linux 2023: github.com/amazonlinux/amazon-linux-2023/issues/585,
and AWS's "Comparing packages installed on Amazon Linux 2023 container images". There is no libgomp
among them.
"""

_ON_AMAZON_LINUX_2 = "python3.11"
"""The last runtime on Amazon Linux 2. Only its certain libraries are listed."""

_OTHER_LIBC = ("libc.musl", "ld-musl")
"""Parts of files for Alpine, which some wheels contain in addition to those for other systems."""


_OPTIONAL = ("numba/np/ufunc/omppool.", "numba/np/ufunc/tbbpool.")
"""Prefixes of files that their package does not need: numba has threads of its own."""


class Missing(NamedTuple):
    """Libraries that Lambda lacks, and a file of a package that needs the first of them."""

    package: str
    libraries: tuple[str, ...]
    file: str

    def __str__(self) -> str:
        """Return one line for the user."""
        return f"{self.package} needs {', '.join(self.libraries)} ({self.file})"


def missing_libraries(packages: Sequence[Package], runtime: str) -> list[Missing]:
    """Return the libraries that neither a worker's image nor any package has.

    A missing library may not matter: some packages contain plug-ins for software that is not
    installed.
    """
    there = set(_EVERYWHERE.split()) | {f"lib{runtime}.so.1.0"}
    if runtime != _ON_AMAZON_LINUX_2:
        there |= set(_AMAZON_LINUX_2023.split())
    there |= {place.rpartition("/")[2] for package in packages for place in package.files}
    found = []
    for package in sorted(packages, key=lambda one: one.name):
        lacking: dict[str, str] = {}
        for place in sorted(package.files, key=lambda place: (place.count("/"), place)):
            if ".so" in place and not place.startswith(_OPTIONAL):
                for library in _lacking(package.files[place], there):
                    lacking.setdefault(library, place)
        if lacking:
            found.append(Missing(package.name, tuple(lacking), next(iter(lacking.values()))))
    return found


def _lacking(path: Path, there: Iterable[str]) -> list[str]:
    try:
        needed = [name.rpartition("/")[2] for name in needed_by(path)]
    except (struct.error, ValueError, StopIteration):  # damaged: no loader can read it either
        return []
    if any(name.startswith(_OTHER_LIBC) for name in needed):
        return []
    return [name for name in needed if name not in there]
