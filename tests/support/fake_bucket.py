"""A bucket in memory, whose troubles a test chooses, and what a transport needs beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolambda.aws.request_counter import RequestCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class MemoryBucket:
    """As `Bucket` and `SmallObjects` at once.

    ``trouble`` is called before each request, with its name.
    """

    most = 1000

    def __init__(self, trouble: Callable[[str], object] = lambda _: None) -> None:
        self.calls = RequestCounter()
        self.objects: dict[str, bytes] = {}
        self.trouble = trouble
        self.changed: Callable[[bytes], bytes] = lambda data: data
        self.name = "bucket"

    def sizes(self, prefix: str, after: str | None = None) -> dict[str, int]:
        self.trouble("list")
        return {
            key: len(data)
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix) and key > (after or "")
        }

    def put(self, key: str, data: bytes, *_: Any) -> Any:
        self.trouble("put")
        self.objects[key] = data

    def list(self, prefix: str, after: str | None = None) -> list[str]:
        return list(self.sizes(prefix, after))

    def delete(self, keys: Sequence[str]) -> None:
        self.trouble("delete")
        for key in keys:
            self.objects.pop(key, None)

    def age(self, _key: str) -> float | None:
        return None


class Small(MemoryBucket):
    """Its small objects: answered at once, in the caller's thread."""

    def __init__(self, bucket: MemoryBucket) -> None:
        super().__init__()
        self._bucket = bucket

    def put(self, key: str, data: bytes, *done: Callable[[Any], None]) -> object:
        self._bucket.trouble("put")
        self._bucket.objects[key] = data
        done[0](None)
        return type("Request", (), {"dropped": False})()

    def get(self, key: str, done: Callable[[Any], None]) -> object:
        self._bucket.trouble("get")
        there = self._bucket.objects.get(key)
        done(FileNotFoundError(key) if there is None else self._bucket.changed(there))
        return object()


class Inline:
    """Hands replies over at once, in whichever thread."""

    def hand_over(self, call: Callable[[], object]) -> None:
        call()

    def flush(self, _seconds: float = 0.0) -> None:
        """All is handed over already."""
