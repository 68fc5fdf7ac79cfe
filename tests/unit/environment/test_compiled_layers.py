"""Bytecode in layers: workers on Lambda cannot write it."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import weakref
import zipfile
from typing import TYPE_CHECKING

from dolambda.environment.compiled_layers import with_bytecode
from dolambda.environment.layer import MB, UNZIPPED_LIMIT, Archive, Contents

if TYPE_CHECKING:
    from pathlib import Path


def a_layer(at: Path, name: str, *, size: int = 1000, source: str = "A = 1\n") -> Archive:
    at.mkdir(exist_ok=True)
    (at / f"{name}.py").write_text(source)
    (at / "template.py").write_text("{{ name }} = (")
    entries: dict[str, bytes | Path] = {
        f"python/{name}/{file}": at / file for file in (f"{name}.py", "template.py")
    }
    return Archive((name,), entries, size, compress=True)


def test_sources_come_with_bytecode_that_python_takes(tmp_path: Path) -> None:
    (layer,) = with_bytecode(Contents(layers=(a_layer(tmp_path / "a", "a"),))).layers
    with zipfile.ZipFile(io.BytesIO(layer.content)) as archive:
        archive.extractall(tmp_path / "opt")
    (compiled,) = (tmp_path / "opt").rglob("*.pyc")  # the template has none
    source = tmp_path / "opt" / "python" / "a" / "a.py"
    source.write_text("1 / 0")  # not even looked at
    found = subprocess.run(
        [sys.executable, "-c", "import a; print(a.A, a.__cached__)"],
        cwd=source.parent,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout == f"1 {compiled}\n"


def test_the_same_sources_are_the_same_layer(tmp_path: Path) -> None:
    def made(at: str, source: str) -> Archive:
        layer = a_layer(tmp_path / at, "a", source=source)
        return with_bytecode(Contents(layers=(layer,))).layers[0]

    first, again, other = made("x", "A = 1\n"), made("y", "A = 1\n"), made("z", "A = 2\n")
    assert first.digest == again.digest != other.digest
    assert first.content == again.content
    assert first.digest != a_layer(tmp_path / "x", "a").digest  # a stack without it is renewed


def test_it_is_left_out_where_the_limit_is_near(tmp_path: Path) -> None:
    source = "A = 1\n" * 200_000  # 1.2 MB
    large = a_layer(tmp_path / "b", "b", size=UNZIPPED_LIMIT - 13 * MB, source=source)
    small = a_layer(tmp_path / "s", "s", source=source)
    contents = with_bytecode(Contents(layers=(large, small)))
    assert contents.layers[0] is large
    assert contents.layers[1].size > small.size
    assert sum(layer.size for layer in contents.layers) < UNZIPPED_LIMIT


def test_what_is_removed_with_the_given_contents_stays_as_long_as_the_new_ones(
    tmp_path: Path,
) -> None:
    given = Contents(layers=(a_layer(tmp_path / "a", "a"),))
    ended = weakref.finalize(given, lambda: None)  # as `layer.build` removes its directory
    made = with_bytecode(given)
    del given
    gc.collect()
    assert ended.alive
    assert made.layers[0].content
    del made
    gc.collect()
    assert not ended.alive
