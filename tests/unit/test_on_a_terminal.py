"""A run as a user sees it, on a real terminal of some width."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import threading, time
import dolambda, joblib

def work(number):
    time.sleep(0.03)
    return number

def loop(tasks):
    with dolambda.LambdaExecutor(batch=1) as executor:
        list(executor.map(work, range(tasks)))

with dolambda.register(transport="in_process", workers=2, record=False):
    joblib.Parallel(n_jobs=2)(joblib.delayed(work)(number) for number in range(40))
    print("between")
    both = [threading.Thread(target=loop, args=(tasks,)) for tasks in (25, 35)]
    for one in both:
        one.start()
    for one in both:
        one.join()
"""
COLOURS, MOVES = re.compile(r"\x1b\[[0-9;]*m"), re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_bars_keep_their_counts_and_leave_one_line_each(tmp_path: Path, columns: int) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    status, written = on_terminal([str(program)], {}, columns=columns)
    assert status == 0
    text = MOVES.sub("\n", COLOURS.sub("", written))
    drawn = [line for line in re.split(r"[\r\n]+", text) if line.startswith("dolambda ")]
    assert drawn
    assert not [line for line in drawn if len(line) > columns]
    totals = {found[1] for line in drawn if (found := re.search(r"\d+/(\d+)", line))}
    assert totals == {"40", "25", "35"}  # joblib's from the start, too
    closing = re.findall(r"dolambda: (\d+) tasks in ", text)
    assert sorted(closing) == ["25", "35", "40"]
    assert text.index("dolambda: 40 tasks in") < text.index("between")


OPENED = """
import time
from dolambda import LambdaExecutor
from dolambda.session import Session
from dolambda.settings import Settings

settings = Settings(transport="in_process", progress={progress}, record=False)
with Session.open(settings) as session, LambdaExecutor(session=session) as executor:
    executor.submit(time.sleep, 1).result()
"""


@pytest.mark.parametrize(("progress", "shown"), [(None, True), (False, False)])
def test_a_session_that_nobody_registered_keeps_its_setting(
    tmp_path: Path, progress: bool | None, shown: bool
) -> None:
    """As the one that `deploy` and `doctor` open for a round trip."""
    program = tmp_path / "program.py"
    program.write_text(OPENED.format(progress=progress))
    status, written = on_terminal([str(program)], {}, columns=80)
    assert status == 0
    assert ("1 task in" in written) is shown
