"""Records of runs that never ran."""

from __future__ import annotations

import os
import platform
from array import array
from typing import TYPE_CHECKING, Any

from dolambda.records.file_format import Block, JobEntry, header_line

if TYPE_CHECKING:
    from dolambda.records.file_format import ErrorEntry
    from dolambda.records.store import RecordStore


def some_tasks(
    tasks: int,
    *,
    first: int = 0,
    workers: int = 2,
    name: str = "w",
    errors: tuple[ErrorEntry, ...] = (),
) -> Block:
    """Return tasks in jobs of ten, which begin a second apart."""
    begin = first // 10
    jobs = [
        JobEntry(
            number,
            1,
            f"{name}{number % workers}",
            number < workers,
            100.0 + number,
            1.0,
            ((10 * number, 10),),
        )
        for number in range(begin, begin + tasks // 10)
    ]
    block = Block(
        jobs,
        bytearray(tasks),
        array("f", [0.1 * (place % 10) for place in range(tasks)]),
        array("f", [0.1] * tasks),
        array("f", [0.05] * tasks),
        array("f", [300.0] * tasks),
        list(errors),
    )
    for error in errors:
        block.kinds[error.task - first] = 1
    return block


def a_header(run: str, **facts: Any) -> dict[str, Any]:
    """Return the header of a run of this process: as long as that lives, the run is running."""
    about = {"id": run, "begun": 0.0, "host": platform.node(), "pid": os.getpid()}
    return {**about, "program": "fit.py", "directory": "/home/me", "memory": 1769, **facts}


def append(store: RecordStore, run: str, data: bytes, **facts: Any) -> None:
    """Append to the file of a run, which is made if there is none, with facts in its header."""
    path = store.directory / f"{run}.run"
    if not path.exists():
        os.close(store.create(run))
        data = header_line(a_header(run, **facts)) + data
    with path.open("ab") as file:
        file.write(data)
