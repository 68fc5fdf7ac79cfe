"""One part is killed at a random moment, on the emulated AWS: right results or clear errors, and
nothing is left.

`make soak` does the same fifty times.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from killed_parts import PARTS, TRANSPORTS, kill_often

WITHIN = 30.0  # seconds: `make soak` shows 10, on a machine that does nothing else


@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the parts in /proc, Linux has it")
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed(part: str, transport: str) -> None:
    seen = kill_often(part, transport, times=3, within=WITHIN)
    assert seen.wrong == []
    assert seen.kills == 3
