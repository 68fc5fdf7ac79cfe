"""What the bridge writes to its standard error reaches R by the line."""

from __future__ import annotations

from dolambda.r.notices import Lines


def test_lines_are_handed_on_whole_and_with_the_function_that_r_calls() -> None:
    taken: list[str] = []
    lines = Lines(taken.append)
    for text in ("one", " line\n", "\n", "two\nthree: call dolambda.register() again\nfou"):
        assert lines.write(text) == len(text)
    assert taken == ["one line", "two", "three: call registerDoLambda() again"]
