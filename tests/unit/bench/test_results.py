"""What `make bench` keeps: bench/RESULTS.md has one section for each benchmark."""

from __future__ import annotations

from results import with_section

TEXT = """# Results

As printed.

## Sizes, 2026-01-01, dolambda 0.1.0

old

## Ten thousand workers, 2026-01-02, dolambda 0.1.0

- 1
"""


def test_figures_take_the_place_of_older_ones_and_come_last() -> None:
    again = with_section(TEXT, "## Sizes, 2026-02-03, dolambda 0.2.0\n\nnew\n")
    assert again == (
        "# Results\n\nAs printed.\n\n## Ten thousand workers, 2026-01-02, dolambda 0.1.0\n\n- 1\n\n"
        "## Sizes, 2026-02-03, dolambda 0.2.0\n\nnew\n"
    )


def test_a_benchmark_with_no_figures_yet_comes_last() -> None:
    assert (
        with_section(TEXT, "## The floor, 2026-01-03, dolambda 0.1.0\n\n- 2\n")
        == TEXT + "\n## The floor, 2026-01-03, dolambda 0.1.0\n\n- 2\n"
    )
