"""The keys of all objects in the bucket.

**Input:** run and job number. **Output:** an object key. The same in reverse.

    jobs/<function>/<run>/<number>    a job, put by a client; its creation triggers the worker
    leases/<run>           jobs of the run that were withdrawn; workers read it
    outs/<run>/<number>    the reply to the job, put by the worker, once
    outs/<run>/live/<job>.<attempt>.<worker>.<number>    a part of what a task has printed so far
    blobs/<digest>         bytes that many tasks share, named by content
    layers/<digest>.zip    a layer too large for a direct upload, while it is being published
    runs/<name>            facts of a named run
    runs/<name>.order      the earlier reply for each task of the run's last start
    bundles/<digest>.zip   packages that exceed the layers, unpacked by cold workers

A run's name is ``<client>/<sequence>``. All live runs of one client share the prefix
``outs/<client>/``, so one LIST finds the replies to all of them. (A prefix must end at a slash:
obstore matches whole path segments.) Numbers are zero-padded, so key order is number order. A
function is two digits: the function of the stack that the job is for.
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
"""The stack's first function, at present its only one."""

_RUN = r"([A-Za-z0-9_.-]{1,64}(?:/[0-9]{6})?)"
_JOB_KEY = re.compile(rf"jobs/[0-9]{{2}}/{_RUN}/([0-9]{{9}})\Z")
_FORMAT_1_JOB_KEY = re.compile(rf"jobs/{_RUN}/([0-9]{{9}})\Z")
_PART = re.compile(r"([0-9]{9})\.([0-9]{4})\.([0-9a-f]{1,32})\.([0-9]{6})\Z")
_NUMBER = re.compile(r"[0-9]{9}\Z")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def new_client_id() -> str:
    """Return ten random characters: 51 bits, so that two clients of one bucket do not collide."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(10))


def run_name(client: str, sequence: int) -> str:
    """Return the name of the ``sequence``-th run of a client."""
    return f"{client}/{sequence:06d}"


def job_key(run: str, number: int, function: str = FUNCTION) -> str:
    """Return the key of job ``number`` of a run."""
    return f"{jobs_prefix(run, function)}{number:09d}"


def jobs_prefix(name: str, function: str = FUNCTION) -> str:
    """Return the prefix of the keys of all jobs of a run, or of a client."""
    return f"{JOBS}{function}/{name}/"


def reply_key(run: str, number: int) -> str:
    """Return the key of the reply to job ``number`` of a run."""
    return f"{OUTS}{run}/{number:09d}"


def parts_prefix(run: str) -> str:
    """Return the prefix of all parts of output of a run."""
    return f"{OUTS}{run}/live/"


def part_key(run: str, job: int, attempt: int, worker: str, number: int) -> str:
    """Return the key of a part of what a job's tasks print. Key order is number order."""
    return f"{parts_prefix(run)}{job:09d}.{attempt:04d}.{worker}.{number:06d}"


def parse_part_key(run: str, key: str) -> tuple[int, int, str, int] | None:
    """Return job, attempt, worker and number of a part of a run's output; None for another key."""
    match = _PART.match(key.removeprefix(parts_prefix(run)))
    return (int(match[1]), int(match[2]), match[3], int(match[4])) if match else None


def lease_key(run: str) -> str:
    """Return the key of a run's lease."""
    return LEASES + run


def replies_prefix(client: str) -> str:
    """Return the prefix of the keys of all replies to a client."""
    return f"{OUTS}{client}/"


def blob_key(digest: str) -> str:
    """Return the key of the blob with this digest."""
    return BLOBS + digest


def bundle_key(digest: str) -> str:
    """Return the key of the packages that exceed the layers."""
    return f"{BUNDLES}{digest}.zip"


def parse_job_key(key: str) -> tuple[str, int] | None:
    """Return run and number of a job's key, or None for another key."""
    match = _JOB_KEY.match(key)
    return (match[1], int(match[2])) if match else None


def parse_format_1_job_key(key: str) -> tuple[str, int] | None:
    """Return run and number of a job's key in wire format 1, or None for another key."""
    match = _FORMAT_1_JOB_KEY.match(key)
    return (match[1], int(match[2])) if match else None


def numbered(keys: Iterable[str], stem: str) -> dict[int, str]:
    """Return those of ``keys`` that are ``stem`` and a number, by that number, in order."""
    numbers = {key.removeprefix(stem): key for key in keys if key.startswith(stem)}
    return {int(number): key for number, key in sorted(numbers.items()) if _NUMBER.match(number)}


def just_before(key: str) -> str:
    """Return the key after which a listing begins with ``key``, a job's or a reply's."""
    stem, number = key[:-9], int(key[-9:])
    return f"{stem}{number - 1:09d}" if number else stem
