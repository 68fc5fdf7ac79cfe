"""How every key in the bucket is spelled.

Input: run and job number. Output: an object key, and back.

    jobs/<function>/<run>/<number>    a job, put by a client; its creation triggers the worker
    leases/<run>           which of its jobs are no longer wanted, asked by workers
    outs/<run>/<number>    the reply to it, put by the worker, once
    blobs/<digest>         bytes that many tasks share, named by content
    layers/<digest>.zip    a layer too large for a direct upload, while it is being published
    runs/<name>            what is known of a named run
    runs/<name>.order      which earlier reply is which task of its last start
    bundles/<digest>.zip   packages that layers have no room for, unpacked by cold workers

A run's name is ``<client>/<sequence>``: all live runs of one client share the prefix
``outs/<client>/``, so that one LIST finds the replies to all of them (a prefix must end at a slash:
obstore matches whole path segments). Numbers are zero-padded: key order is number order. A function
is two digits: which of the stack's functions a job is for.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

JOBS = "jobs/"
OUTS = "outs/"
LEASES = "leases/"
BLOBS = "blobs/"
LAYERS = "layers/"
BUNDLES = "bundles/"
RUNS = "runs/"

FUNCTION = "00"
"""The stack's first function, and today its only one."""

_RUN = r"([A-Za-z0-9_.-]{1,64}(?:/[0-9]{6})?)"
_JOB_KEY = re.compile(rf"jobs/[0-9]{{2}}/{_RUN}/([0-9]{{9}})\Z")
_FORMAT_1_JOB_KEY = re.compile(rf"jobs/{_RUN}/([0-9]{{9}})\Z")
_NUMBER = re.compile(r"[0-9]{9}\Z")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def new_client_id() -> str:
    """Ten random characters: 51 bits, so two clients of one bucket do not meet."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(10))


def run_name(client: str, sequence: int) -> str:
    """Name the ``sequence``-th run of a client."""
    return f"{client}/{sequence:06d}"


def job_key(run: str, number: int, function: str = FUNCTION) -> str:
    """Return where job ``number`` of a run is put."""
    return f"{jobs_prefix(run, function)}{number:09d}"


def jobs_prefix(name: str, function: str = FUNCTION) -> str:
    """Return what the keys of all jobs of a run, or of a client, begin with."""
    return f"{JOBS}{function}/{name}/"


def reply_key(run: str, number: int) -> str:
    """Where the reply to job ``number`` of a run is put."""
    return f"{OUTS}{run}/{number:09d}"


def lease_key(run: str) -> str:
    """Return where a run's lease is put."""
    return LEASES + run


def replies_prefix(client: str) -> str:
    """What the keys of all replies to a client begin with."""
    return f"{OUTS}{client}/"


def blob_key(digest: str) -> str:
    """Where the blob with that content digest is put."""
    return BLOBS + digest


def bundle_key(digest: str) -> str:
    """Where the packages are that layers have no room for."""
    return f"{BUNDLES}{digest}.zip"


def parse_job_key(key: str) -> tuple[str, int] | None:
    """Return run and number of a job's key; None for another key."""
    match = _JOB_KEY.match(key)
    return (match[1], int(match[2])) if match else None


def parse_format_1_job_key(key: str) -> tuple[str, int] | None:
    """Return run and number of a job's key as clients of wire format 1 spell it; None for another."""
    match = _FORMAT_1_JOB_KEY.match(key)
    return (match[1], int(match[2])) if match else None


def numbered(keys: Iterable[str], stem: str) -> dict[int, str]:
    """Return those of ``keys`` that are ``stem`` and a number, by that number, in its order."""
    numbers = {key.removeprefix(stem): key for key in keys if key.startswith(stem)}
    return {int(number): key for number, key in sorted(numbers.items()) if _NUMBER.match(number)}


def just_before(key: str) -> str:
    """The key after which a listing begins with ``key``, a job's or a reply's."""
    stem, number = key[:-9], int(key[-9:])
    return f"{stem}{number - 1:09d}" if number else stem
