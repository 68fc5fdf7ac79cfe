"""How every key in the bucket is spelled. On entry: run and job number; on leaving: an object key (and back).

    jobs/<run>/<number>    a job, put by a client; its creation triggers the worker
    outs/<run>/<number>    the reply to it, put by the worker, once
    blobs/<digest>         bytes that many tasks share, named by content
    layers/<digest>.zip    a layer too large for a direct upload, while it is being published
    runs/<name>            what is known of a named run
    runs/<name>.order      which earlier reply is which task of its last start
    bundles/<digest>.zip   packages that layers have no room for, unpacked by cold workers

A run's name is ``<client>/<sequence>``: all live runs of one client share the prefix ``outs/<client>/``, so that one
LIST finds the replies to all of them (a prefix must end at a slash: obstore matches whole path segments). Numbers are
zero-padded: key order is number order.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

JOBS = "jobs/"
OUTS = "outs/"
BLOBS = "blobs/"
LAYERS = "layers/"
BUNDLES = "bundles/"
RUNS = "runs/"

_JOB_KEY = re.compile(r"jobs/([A-Za-z0-9_.-]{1,64}(?:/\d{6})?)/(\d{9})\Z")
_NUMBER = re.compile(r"[0-9]{9}\Z")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def new_client_id() -> str:
    """Ten random characters: 51 bits, so two clients of one bucket do not meet."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(10))


def run_name(client: str, sequence: int) -> str:
    """Name the ``sequence``-th run of a client."""
    return f"{client}/{sequence:06d}"


def job_key(run: str, number: int) -> str:
    """Where job ``number`` of a run is put."""
    return f"{JOBS}{run}/{number:09d}"


def reply_key(run: str, number: int) -> str:
    """Where the reply to job ``number`` of a run is put."""
    return f"{OUTS}{run}/{number:09d}"


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
    """Run and number of a job's key; None when the key is not one of ours."""
    match = _JOB_KEY.match(key)
    return (match[1], int(match[2])) if match else None


def numbered(keys: Iterable[str], stem: str) -> dict[int, str]:
    """Return those of ``keys`` that are ``stem`` and a number, by that number, in its order."""
    numbers = {key.removeprefix(stem): key for key in keys if key.startswith(stem)}
    return {int(number): key for number, key in sorted(numbers.items()) if _NUMBER.match(number)}


def just_before(key: str) -> str:
    """The key after which a listing begins with ``key``, a job's or a reply's."""
    stem, number = key[:-9], int(key[-9:])
    return f"{stem}{number - 1:09d}" if number else stem
