"""Record a run on a terminal as a moving picture: python docs/pictures/record_run.py.

It runs 80 tasks on AWS emulated here, in tmux. Where pictures do not move, the last one is shown.

**Output:** run.svg beside this file. It loads no fonts from elsewhere.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

PLACE = Path("/tmp/models")  # noqa: S108 - made by this script, or it ends
COLUMNS, ROWS = 84, 9
EVERY_S, DEADLINE_S = 0.7, 120
FRAME_S, LAST_FRAMES = 0.7, 5
PROGRAM = """
import time, warnings
from joblib import Parallel, delayed
import dolambda

def fit(seed):
    time.sleep(0.5)
    if seed == 42:
        print("a task can print")
    if seed % 3 == 0:
        warnings.warn("did not converge")
    return seed

dolambda.register("local", workers=6)
Parallel(n_jobs=-1)(delayed(fit)(seed) for seed in range(80))
"""
STYLE = """
.frame {{ visibility: hidden; animation: one {total:.1f}s step-end infinite; }}
.last {{ visibility: visible; animation-name: last; }}
@keyframes one {{ 0% {{ visibility: visible; }} {share:.3f}% {{ visibility: hidden; }} }}
@keyframes last {{ 0% {{ visibility: hidden; }} {end:.3f}% {{ visibility: visible; }} }}
@media (prefers-reduced-motion: reduce) {{ .frame {{ animation: none; }} }}
"""


def tmux(*command: str) -> str:
    """Run a command of a tmux server of this script's own."""
    arguments = ["tmux", "-L", f"record-{os.getpid()}", *command]
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def screens(program: Path) -> list[str]:
    """Run the program on a terminal; return what is to be seen, each change once."""
    python = f"cd {program.parent}; PATH={Path(sys.executable).parent}:$PATH; clear"
    shell = f"export PS1='$ ' DOLAMBDA_REQUIRES=; {python}; exec bash --norc --noprofile"
    tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), f"bash -c {shlex.quote(shell)}")
    try:
        time.sleep(1)
        tmux("send-keys", f"python {program.name}", "Enter")
        seen: list[str] = []
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            time.sleep(EVERY_S)
            screen = tmux("capture-pane", "-e", "-p")
            if not seen or screen != seen[-1]:
                seen.append(screen)
            if "tasks in" in screen and screen.rstrip("\n").endswith("$"):
                break
        return seen
    finally:
        tmux("kill-server")


def frame(screen: str, number: int) -> str:
    """Return one screen as SVG."""
    console = Console(record=True, width=COLUMNS, height=ROWS, file=io.StringIO())
    lines = Text.from_ansi(screen).split("\n")
    console.print(Text("\n").join(lines[:ROWS]), no_wrap=True)
    svg = console.export_svg(title="python fit.py", unique_id=f"f{number}")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


def moving(frames: list[str]) -> str:
    """Return the frames as one picture, in which the last stays longest."""
    slots = len(frames) - 1 + LAST_FRAMES
    total = slots * FRAME_S
    style = STYLE.format(total=total, share=100 / slots, end=100 * (len(frames) - 1) / slots)
    box = re.search(r'viewBox="([^"]*)"', frames[0])
    assert box
    parts = [f'<svg viewBox="{box[1]}" xmlns="http://www.w3.org/2000/svg"><style>{style}</style>']
    for number, svg in enumerate(frames):
        is_last = number == len(frames) - 1
        delay = "" if is_last else f' style="animation-delay: {number * FRAME_S:.1f}s"'
        kind = "frame last" if is_last else "frame"
        parts.append(f'<g class="{kind}"{delay}>{svg}</g>')
    return "\n".join([*parts, "</svg>"])


def main() -> None:
    """Record it and write the picture."""
    PLACE.mkdir()  # its name is to be seen in the picture
    try:
        os.environ["XDG_STATE_HOME"] = str(PLACE)
        program = PLACE / "fit.py"
        program.write_text(PROGRAM)
        seen = screens(program)
    finally:
        shutil.rmtree(PLACE)
    frames = [frame(screen, number) for number, screen in enumerate(seen)]
    Path(__file__).with_name("run.svg").write_text(moving(frames))


if __name__ == "__main__":
    main()
