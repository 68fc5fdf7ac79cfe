"""Blobs kept in /tmp: found again, dropped oldest first, and never trusted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from dolambda.wire.blob import Blob
from dolambda.wire.task import SHARED
from dolambda.worker.blob_cache import BlobCache
from dolambda.worker.disk import LEAST, Disk

if TYPE_CHECKING:
    from pathlib import Path


class Source:
    def __init__(self, *blobs: Blob) -> None:
        self.held = {blob.digest: bytes(blob.data) for blob in blobs}
        self.asked: list[str] = []

    def get_blob(self, digest: str) -> bytes:
        self.asked.append(digest)
        return self.held[digest]

    def calls(self) -> dict[str, int]:
        return {}


def blob(content: int, size: int = LEAST) -> Blob:
    return Blob.from_bytes(bytes([content]) * size)


def test_what_one_process_fetched_the_next_one_finds(tmp_path: Path) -> None:
    large, small = blob(1), blob(2, 100)
    source = Source(large, small)
    for expected in ([large.digest, small.digest], [large.digest, small.digest, small.digest]):
        cache = BlobCache(source, 1 << 20, Disk(tmp_path))  # as a new child has
        assert cache.buffer(large.digest) == large.data
        assert cache.buffer(small.digest) == small.data
        assert source.asked == expected
    assert cache.buffer(large.digest).readonly


def test_what_a_task_writes_into_its_argument_is_seen_by_no_other(tmp_path: Path) -> None:
    large = blob(1, SHARED + 1)
    source = Source(large)
    cache = BlobCache(source, 4 * SHARED, Disk(tmp_path, 4 * SHARED))
    first, second = cache.argument(large.digest), cache.argument(large.digest)
    first[:3] = b"new"
    assert second == cache.argument(large.digest) == cache.buffer(large.digest) == large.data
    assert (tmp_path / large.digest).read_bytes() == large.data
    (tmp_path / large.digest).unlink()  # a task has emptied the directory: a copy in memory
    third = cache.argument(large.digest)
    third[:3] = b"new"
    assert cache.buffer(large.digest) == large.data
    shared = memoryview(cache.argument(large.digest, shared=True))
    assert shared.readonly
    assert len(source.asked) == 1


def test_what_was_written_into_is_fetched_again(tmp_path: Path) -> None:
    one = blob(1)
    source = Source(one)
    BlobCache(source, 1 << 20, Disk(tmp_path)).buffer(one.digest)
    (tmp_path / one.digest).write_bytes(b"x" * LEAST)
    assert BlobCache(source, 1 << 20, Disk(tmp_path)).buffer(one.digest) == one.data
    assert len(source.asked) == 2


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 3 * LEAST)
    for moment, number in enumerate((1, 2, 3)):
        disk.put(blob(number).digest, blob(number).data)
        os.utime(tmp_path / blob(number).digest, (moment, moment))
    assert disk.get(blob(1).digest) is not None  # used now
    disk.put(blob(4).digest, blob(4).data)
    assert [disk.get(blob(number).digest) is not None for number in (1, 2, 3, 4)] == [
        True,
        False,
        True,
        True,
    ]


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(1, 4 * LEAST), max_size=20))
def test_room_is_never_exceeded(tmp_path_factory: object, sizes: list[int]) -> None:
    place = tmp_path_factory.mktemp("disk")  # type: ignore[attr-defined] # pytest's
    disk = Disk(place, 5 * LEAST)
    for number, size in enumerate(sizes):
        disk.put(blob(number, size).digest, blob(number, size).data)
        assert sum(path.stat().st_size for path in place.iterdir()) <= 5 * LEAST


def test_where_nothing_can_be_written_nothing_is_kept_and_nothing_breaks(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    one = blob(1)
    assert BlobCache(Source(one), 1 << 20, Disk(tmp_path / "file")).buffer(one.digest) == one.data
