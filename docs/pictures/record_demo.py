"""Record `dolambda demo` as a picture of a terminal: python docs/pictures/record_demo.py.

**Output:** demo.svg beside this file. It loads no fonts from elsewhere.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

_COLUMNS = 84


def main() -> None:
    """Run the demo and write the picture."""
    environ = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(_COLUMNS)}
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("dolambda")), "demo"],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    console = Console(record=True, width=_COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi("$ dolambda demo\n" + ran.stdout))
    svg = console.export_svg(title="dolambda demo", unique_id="demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    Path(__file__).with_name("demo.svg").write_text(svg)


if __name__ == "__main__":
    main()
