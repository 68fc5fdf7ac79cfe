from __future__ import annotations

import io
import multiprocessing
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from dolambda.environment.archive import digest_of, make_zip
from dolambda.errors import EnvelopeError
from dolambda.worker import unpacking
from dolambda.worker.unpacking import unpack_code

if TYPE_CHECKING:
    from pathlib import Path


def archive(**contents: bytes) -> tuple[str, memoryview]:
    content = make_zip({name.replace("_py", ".py"): data for name, data in contents.items()})
    return digest_of(content), memoryview(content)


def test_an_archive_is_unpacked_once_with_its_executable_bits(tmp_path: Path) -> None:
    digest, content = archive(a_py=b"A = 1", tool=b"#!/bin/sh\necho ran")
    place = unpack_code(digest, lambda: content, tmp_path)
    assert (place / "a.py").read_bytes() == b"A = 1"
    assert subprocess.run([place / "tool"], capture_output=True, check=True).stdout == b"ran\n"
    assert unpack_code(digest, lambda: pytest.fail("it is there"), tmp_path) == place
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


def test_nothing_is_believed_that_another_user_could_have_written(tmp_path: Path) -> None:
    digest, content = archive(a_py=b"right")
    foreign = tmp_path / f"dolambda-code-{digest[:32]}"
    foreign.mkdir()
    (foreign / "a.py").write_bytes(b"wrong")
    foreign.chmod(0o777)
    assert (unpack_code(digest, lambda: content, tmp_path) / "a.py").read_bytes() == b"right"

    digest, content = archive(a_py=b"right", b_py=b"")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"dolambda-code-{digest[:32]}").symlink_to(tmp_path / "elsewhere")
    assert (unpack_code(digest, lambda: content, tmp_path) / "a.py").read_bytes() == b"right"


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "UNPACKED_LIMIT", 1000)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("a", bytes(1001))
    with pytest.raises(EnvelopeError, match="unpacks to 1,001 bytes"):
        unpack_code("0" * 64, lambda: memoryview(file.getvalue()), tmp_path)
    assert list(tmp_path.iterdir()) == []


def unpack_several(parent: Path, first: int, last: int) -> list[str]:
    names = []
    for number in range(first, last):
        digest, content = archive(a_py=str(number).encode())
        # mypy cannot infer it.
        names.append(unpack_code(digest, lambda content=content: content, parent).name)  # type: ignore[misc]
    return names


def test_unused_archives_are_removed_and_used_ones_stay(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2]);"
        "import test_unpacking as t; print(*t.unpack_several(pathlib.Path(sys.argv[1]), 0, 9))"
    )
    here = __file__.rpartition("/")[0]
    subprocess.run([sys.executable, "-c", script, str(tmp_path), here], check=True, timeout=60)
    left = sorted(tmp_path.iterdir())
    assert len(left) == 9  # one process uses them all
    digest, content = archive(a_py=b"new")
    used = unpack_code(digest, lambda: content, tmp_path)
    kept = sorted(tmp_path.iterdir())
    assert used in kept
    assert len(kept) == unpacking._KEPT


def test_processes_that_unpack_at_the_same_time_share_the_directory(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        names = pool.starmap(unpack_several, [(tmp_path, 0, 3)] * 8)
    assert all(found == names[0] for found in names)
    for name in names[0]:
        assert (tmp_path / name / "a.py").exists()
