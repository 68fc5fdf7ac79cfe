"""A curve from hand-made points: its sizes, its words, and its picture."""

from __future__ import annotations

import json
from array import array
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from dolambda.tuning import picture
from dolambda.tuning.budget import Budget
from dolambda.tuning.curve import Curve, Point, bar
from dolambda.wire.outcome import PackedOutcome, Usage
from dolambda.wire.outcome_table import OutcomeTable
from dolambda.wire.reply import Reply

POINTS = (
    Point(256, 2.0, 0.3, 100.0, 0.0000090, 5),
    Point(512, 1.0, 0.3, 100.0, 0.0000088, 5),
    Point(1024, 0.5, 0.3, 100.0, 0.0000093, 5),
    Point(1769, 0.4, 0.3, 100.0, 0.0000175, 5),
    Point(3008, note="left out: $0.0001 of the budget is left"),
)
CURVE = Curve("mine", 512, POINTS, 0.0004)


def a_reply(seconds: float, *, fails: bool = False) -> Reply:
    outcome = (
        PackedOutcome.from_exception(0, ValueError("no"), seconds)
        if fails
        else PackedOutcome.from_value(0, 1, seconds)
    )
    cpu, peak = array("f", [seconds / 2]), array("f", [64.0])
    table = replace(OutcomeTable.from_outcomes([outcome]), cpu=cpu, peak=peak)
    return Reply("c/000000", 0, 1, table, Usage("w", seconds=seconds))


def test_a_point_is_the_mean_of_its_replies() -> None:
    point = Point.from_replies(1024, [a_reply(1.0), a_reply(3.0)], "arm64")
    assert (point.seconds, point.cpu, point.peak, point.tasks) == (2.0, 1.0, 64.0, 2)
    assert point.cost == pytest.approx(2 * 0.0000133334 + 0.2e-6)
    assert point.counts
    failed = Point.from_replies(1024, [a_reply(1.0), a_reply(1.0, fails=True)], "arm64")
    assert (failed.note, failed.counts) == ("1 of 2 failed", False)


def test_the_best_sizes() -> None:
    assert CURVE.best() == {"cheapest": 512, "fastest": 1769, "balanced": 1024}
    assert CURVE.summary() == (
        "memory=1024 is the best balance of cost and time: cost +6%, time -50% against 512 MB"
    )
    assert Curve("mine", 1024, POINTS).summary().endswith("and is deployed")
    assert Curve("mine", 512, POINTS[-1:]).best() == {}
    assert "nothing was measured" in Curve("mine", 512, POINTS[-1:]).summary()


def printed(width: int) -> list[str]:
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(CURVE.table(width))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_figure_is_cut_off_on_a_narrow_terminal(width: int) -> None:
    text = "\n".join(printed(width))
    assert "…" not in text
    for figure in ("memory", "1,769", "0.14", "500 ms", "$0.0175", "fastest"):
        assert figure in text


def test_the_table_has_all_points() -> None:
    lines = printed(160)
    assert len(lines) == 6
    assert "0.14  2 s" in lines[1]
    assert "deployed, cheapest" in lines[2]
    assert "$0.0088" in lines[2]
    assert "of the budget is left" in lines[5]
    assert lines[1].count("█") > lines[2].count("█") / 2


def test_json_has_the_same() -> None:
    facts = json.loads(json.dumps(CURVE.to_dict()))
    assert (facts["deployed"], facts["balanced"], len(facts["points"])) == (512, 1024, 5)
    assert facts["points"][0]["seconds"] == 2.0


def test_a_bar_is_never_longer_than_its_column() -> None:
    assert [len(bar(value, 2.0, 24)) for value in (0.0, 1.0, 2.0)] == [0, 12, 24]
    assert bar(1.0, 0.0, 24) == ""


@pytest.mark.parametrize("points", [POINTS, POINTS[:1], POINTS[-1:], ()])
def test_the_picture_is_svg(points: tuple[Point, ...]) -> None:
    drawn = ET.fromstring(picture.svg(Curve("mine", 512, points)))  # noqa: S314 - our own
    circles = drawn.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2 * sum(bool(point.tasks) for point in points)
    for circle in circles:
        assert 0 <= float(circle.attrib["cx"]) <= 720
        assert 0 <= float(circle.attrib["cy"]) <= 400


def test_the_page_needs_no_network_and_escapes() -> None:
    page = picture.html(Curve("<script>", 512, POINTS))
    tags: set[str] = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.add(tag)  # type: ignore[method-assign]
    parser.feed(page)
    assert not tags & {"script", "img", "link", "iframe"}
    assert "default-src 'none'" in page


def test_the_budget_bounds_the_time_limit() -> None:
    budget = Budget(0.10)
    assert budget.timeout(60.0, 6, 0.0001) == 60
    assert budget.timeout(60.0, 6, 0.001) == 16
    assert budget.timeout(60.0, 6, 0.01) is None
    budget.reserve(0.096)
    assert budget.timeout(60.0, 6, 0.001) is None
    budget.settle(0.096, 0.01)
    assert budget.left == pytest.approx(0.09)
