"""``dolambda advise``: suggest changes for the next run, from the measures of a recorded one."""

from __future__ import annotations

import json

from dolambda.cli import options as given
from dolambda.cli.report import RunName
from dolambda.records.advice import NOTHING, advice_of
from dolambda.records.file_format import RunRecord
from dolambda.records.store import LAST, RecordStore, records_directory
from dolambda.wording import count

_EMULATED = "The run was on emulated AWS: this machine and its load differ from AWS."


def advise(run: RunName = LAST, as_json: given.AsJson = False) -> None:
    """Print suggestions for memory, batch and timeout, from a recorded run."""
    path = RecordStore(records_directory()).find(run)
    record = RunRecord.from_file(path)
    found = advice_of(record)
    emulated = bool(record.header.get("emulated"))
    if as_json:
        facts = {
            "run": record.header["id"],
            "tasks": len(record.tasks),
            "memory": record.header.get("memory"),
            "emulated": emulated,
            "advice": [one.to_dict() for one in found],
        }
        print(json.dumps(facts, indent=2))
        return
    print(f"{record.header['id']}: {count(len(record.tasks), 'task')}")
    for one in found:
        print(f"  {one.kind}: {one.text}")
    if not found:
        print(f"  {NOTHING}")
    elif emulated:
        print(f"  {_EMULATED}")
