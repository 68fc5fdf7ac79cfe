"""Packages in the cache are compiled beside the first tasks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from dolambda.local.emulator import compile_packages


def test_what_has_no_bytecode_gets_it_and_the_rest_is_skipped(tmp_path: Path) -> None:
    sources = {"a.py": "A = 1\n", "template.py": "{{ name }} = (", "done.py": "B = 1\n"}
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o444)
    done = Path(importlib.util.cache_from_source(str(tmp_path / "done.py")))
    done.parent.mkdir()
    done.write_bytes(b"as it was")
    assert not compile_packages.is_compiled(tmp_path)
    command = [sys.executable, "-I", compile_packages.__file__, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert (said.stdout, said.stderr) == (b"", b"")
    assert compile_packages.is_compiled(tmp_path)
    assert done.read_bytes() == b"as it was"
    (tmp_path / "a.py").chmod(0o644)
    (tmp_path / "a.py").write_text("1 / 0")  # not even looked at
    found = subprocess.run(
        [sys.executable, "-c", "import a; print(a.A)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout == "1\n"
    assert not list(tmp_path.rglob("template*.pyc"))
