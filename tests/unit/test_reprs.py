"""What REPL and notebook show of sessions, reports and bills."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from dolambda import LambdaExecutor, do, dopar, foreach, get_backend, set_backend, times, when
from dolambda.iterators import Peekable
from dolambda.money.bill import Bill
from dolambda.notebook_table import notebook_table
from dolambda.scheduler.report import Report
from dolambda.session import Session
from dolambda.session_summary import SessionSummary
from dolambda.settings import Settings
from dolambda.stack import Stack
from dolambda.transport.in_process import InProcess

KEY = b"k" * 32
STACK = Stack("night", "eu-west-1", "b", KEY, "3.12", "x86_64", 1769, 300, 50, ("numpy==2", "a==1"))


def session_of(stack: Stack | None) -> Session:
    return Session(Settings(), InProcess(KEY), KEY, 50, 50, 300.0, stack)


def test_a_session_is_one_line() -> None:
    session = session_of(STACK)
    shown = "stack 'night' in eu-west-1, Python 3.12, 50 workers of 1,769 MB, 2 packages"
    assert repr(session) == f"<dolambda: {shown}>"
    session.close()
    assert repr(session) == f"<dolambda: {shown}, closed>"


def test_an_emulator_that_ends_with_the_session_is_said_to() -> None:
    rest = "Python 3.12, 1 worker of 1,769 MB, 2 packages"
    own = SessionSummary(STACK, 1, "own", closed=False).line()
    assert own == f"<dolambda: AWS emulated here, {rest}; dolambda.unregister() ends it>"
    shared = SessionSummary(STACK, 1, "shared", closed=False).line()
    assert shared == f"<dolambda: AWS emulated here by `dolambda local start`, {rest}>"
    assert "unregister" not in SessionSummary(STACK, 1, "own", closed=True).line()
    assert "if it were AWS" in SessionSummary(STACK, 1, "own", closed=True).table(Report(cost=1.0))


def test_a_session_in_this_process_counts_its_tasks_in_a_notebook() -> None:
    session = session_of(None)
    assert repr(session) == "<dolambda: this process, 50 workers>"
    with LambdaExecutor(session=session) as executor:
        assert executor.submit(abs, -1).result() == 1
    assert "1 done, 0 failed" in session._repr_html_()
    session.close()


def test_a_report_is_one_line_without_zeros() -> None:
    report = Report(
        tasks=1200, done=1198, failed=2, jobs=40, workers=frozenset("ab"), elapsed=95.2, cost=0.0034
    )
    assert repr(report) == (
        "<Report: 1,200 tasks, 1,198 done, 2 failed, 40 jobs, 2 workers, 1 min 35 s elapsed, "
        "$0.0034 cost>"
    )
    assert "<td" in report._repr_html_()
    assert "retried" not in report._repr_html_()


def test_a_report_has_advice() -> None:
    report = Report(tasks=1, done=1, advice={"memory": "use <less>", "batch": "use more"})
    assert repr(report).endswith("advice on memory and batch>")
    assert "use &lt;less&gt;" in report._repr_html_()


def test_a_bill_is_one_line_and_a_table() -> None:
    bill = Bill(1.0, 0.5, 0.25, 0.125)
    assert repr(bill) == f"<Bill: {bill}>"
    assert "\n" not in repr(bill)
    for amount in ("$0.8750", "$0.5000", "$0.2500", "$0.1250"):
        assert amount in bill._repr_html_()


def is_even(i: int) -> bool:
    return i % 2 == 0


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (foreach(i=range(3)), "foreach(i=range(0, 3))"),
        (foreach(i=[1], j=["a"], combine="+"), "foreach(i=[1], j=['a'], combine='+')"),
        (times(2), "foreach(range(0, 2), combine='c')"),
        (
            foreach(i=[1], combine=max, init=0, seed=7),
            "foreach(i=[1], combine=max, init=0, seed=7)",
        ),
        (
            foreach(i=[1], errors="pass") % when(is_even),
            "foreach(i=[1], errors='pass') % when(is_even)",
        ),
        (
            foreach(i=[1]).nest(j=[2]).when(is_even) % do,
            "foreach(i=[1]) % foreach(j=[2]) % when(is_even) % do",
        ),
        (foreach(i=[1]) % dopar, "foreach(i=[1]) % dopar"),
        (when(is_even), "when(is_even)"),
    ],
)
def test_a_loop_is_shown_as_it_is_written(shown: object, expected: str) -> None:
    assert repr(shown) == expected


def test_a_loop_over_arrays_is_one_short_line() -> None:
    shown = repr(foreach(i=np.zeros((500, 500)), combine="rbind", init=np.zeros((500, 500))))
    assert "\n" not in shown
    assert len(shown) < 200


def test_no_public_object_shows_its_address() -> None:
    session = session_of(None)
    try:
        shown = [repr(Peekable([])), repr(LambdaExecutor(session=session)), repr(session)]
        for name in ("seq", "dolambda", "loky"):
            set_backend(name)
            shown.append(repr(get_backend()))
    finally:
        set_backend(None)
        session.close()
    assert [one for one in shown if " object at 0x" in one] == []
    assert "object at 0x" not in str(inspect.signature(foreach))


def test_text_from_anywhere_is_escaped() -> None:
    shown = notebook_table("<b>", {"<script>": "</td><img src=x onerror=alert(1)>"})
    for opened in ("<b>", "<script", "<img", "</td><"):
        assert opened not in shown.replace("</td></tr>", "")
