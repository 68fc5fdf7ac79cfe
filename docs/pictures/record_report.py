"""Take pictures of a report and of the dashboard: python docs/pictures/record_report.py.

It runs 240 tasks on AWS emulated here. It needs Chromium.

**Output:** report-light.png and report-dark.png beside this file.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from support.browser import Browser

TASKS, WORKERS = 240, 8
WIDTH, HEIGHT = 1000, 660


def fit(seed: int) -> float:
    """Stand for a model that is fitted; a few have no data."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    time.sleep(draw.lognormvariate(-1.4, 0.6))
    if seed % 60 == 17:  # noqa: PLR2004 - a few
        raise ValueError(f"no data for store {seed}")
    return draw.random()


def main() -> None:
    """Run the tasks, and take the pictures."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_STATE_HOME"] = directory
        os.environ["DOLAMBDA_REQUIRES"] = ""
        file = Path(directory) / "report.html"
        file.write_text(a_report(), encoding="utf-8")
        with Browser(width=WIDTH, height=HEIGHT) as browser:
            for scheme in ("light", "dark"):
                browser.prefer(scheme)
                browser.open(file.as_uri())
                browser.wait_for("!!document.querySelector('figure.live canvas')")
                browser.picture(Path(__file__).with_name(f"report-{scheme}.png"), HEIGHT)


def a_report() -> str:
    """Return the report of a run, as HTML."""
    import dolambda  # noqa: PLC0415 - once the environment is set
    from dolambda.records.file_format import RunRecord  # noqa: PLC0415 - as above
    from dolambda.records.html_report import html_report  # noqa: PLC0415 - as above
    from dolambda.records.store import RecordStore, records_directory  # noqa: PLC0415 - as above

    with (
        dolambda.register("local", workers=WORKERS, record_errors=True, progress=False),
        dolambda.LambdaExecutor(batch=3) as executor,
    ):
        list(executor.map(fit, range(TASKS), return_exceptions=True))
    path = RecordStore(records_directory()).find("last")
    return html_report(RunRecord.from_bytes(path.read_bytes()))


if __name__ == "__main__":
    main()
