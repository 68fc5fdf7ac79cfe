"""A cache that sessions share: made once, kept while in use, bounded, and never one that another
user may have written.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from dolambda.local import cache
from dolambda.local.emulator import entries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
NOBODY = 65534


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(cache, "home", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def content(size: int) -> Callable[[Path], object]:
    return lambda part: (part / "file").write_bytes(bytes(size))


def made(root: Path, name: str, size: int = 1) -> None:
    """Make an entry that nobody uses."""
    _, lock, _ = entries.find_or_make(root, name, content(size))
    os.close(lock)


def test_an_entry_is_made_once_however_many_ask_at_once(tmp_path: Path) -> None:
    calls: list[Path] = []

    def make(part: Path) -> None:
        calls.append(part)
        (part / "file").write_text("whole", encoding="utf-8")

    found = []
    threads = [
        threading.Thread(target=lambda: found.append(entries.find_or_make(tmp_path, "one", make)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(calls) == 1
    assert {place for place, _, _ in found} == {tmp_path / "one"}
    assert sorted(new for _, _, new in found) == [False] * 7 + [True]
    for _, lock, _ in found:
        os.close(lock)


def test_an_entry_whose_making_fails_is_not_there_and_can_be_made_later(tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        (part / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entries.find_or_make(tmp_path, "one", fail)
    assert entries.find(tmp_path, "one") is None
    made(tmp_path, "one")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["file"]


def test_what_a_killed_process_has_half_made_is_not_taken_for_an_entry(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from dolambda.local.emulator import entries\n"
        "entries.find_or_make(Path(sys.argv[1]), 'one', lambda part: ((part / 'half').touch(), "
        "os._exit(9)))"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False, timeout=60)
    assert done.returncode == 9
    assert entries.find(tmp_path, "one") is None
    made(tmp_path, "one")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["file"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "one.lock"]


def test_what_is_used_is_not_removed(tmp_path: Path) -> None:
    place, lock, _ = entries.find_or_make(tmp_path, "one", content(1))
    assert not entries.remove(tmp_path, "one")
    assert (place / "file").is_file()
    os.close(lock)
    assert entries.remove(tmp_path, "one")
    assert list(tmp_path.iterdir()) == []


def test_what_was_used_least_recently_goes_first(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "older", "used", "new")):
        made(tmp_path, name, 100)
        os.utime(tmp_path / f"{name}.lock", (1000 + number, 1000 + number))
    found = entries.find(tmp_path, "old")  # it is the last used one now
    assert found is not None
    os.close(found[1])
    entries.prune(tmp_path, 250)
    assert sorted(entries.names(tmp_path)) == ["new", "old"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["new", "old"]


def test_pruning_removes_what_a_killed_process_has_left(tmp_path: Path) -> None:
    made(tmp_path, "one")
    (tmp_path / "two.part").mkdir()
    (tmp_path / "two.lock").touch()
    (tmp_path / "abc.trash").mkdir()
    entries.prune(tmp_path, 1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "one.lock"]


def test_a_cache_is_closed_to_others(home: Path, tmp_path: Path) -> None:
    assert cache.opened(tmp_path / "instead") == home
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["link", "open", "file"])
def test_a_cache_that_others_may_have_written_is_not_used_and_not_cleaned(
    home: Path, tmp_path: Path, kind: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    made(elsewhere, "thesis")
    if kind == "link":
        home.symlink_to(elsewhere)
    elif kind == "open":
        elsewhere.rename(home)
        home.chmod(0o770)
    else:
        home.touch()
    assert cache.opened(tmp_path / "instead") == tmp_path / "instead"
    assert cache.clean() == (0, 0)
    assert kind == "file" or (home / "thesis" / "file").is_file()


@as_root
def test_a_cache_of_another_user_is_not_used(home: Path, tmp_path: Path) -> None:
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    assert cache.opened(tmp_path / "instead") == tmp_path / "instead"


def test_cleaning_removes_all_but_what_is_in_use(home: Path, tmp_path: Path) -> None:
    cache.opened(tmp_path / "instead")
    made(home, "unused", 1000)
    (home / cache.DIGESTS / "abc").touch()
    _, lock, _ = entries.find_or_make(home, "used", content(10))
    freed, used = cache.clean()
    os.close(lock)
    assert freed >= 1000
    assert used == 1
    assert entries.names(home) == ["used"]
    assert list((home / cache.DIGESTS).iterdir()) == []
