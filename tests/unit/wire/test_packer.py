"""What is pickled once, and when it is pickled again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from dolambda.wire import pickling
from dolambda.wire.chunk import Chunk, ChunkPart, joined
from dolambda.wire.packer import CHUNK_TASKS, Packer, joined_singles

if TYPE_CHECKING:
    from collections.abc import Callable


def made(source: str, **names: Any) -> Callable[..., Any]:
    """A function of the main program, as a script or a notebook defines it."""
    names["__name__"] = "__main__"
    exec(source, names)  # noqa: S102 - the test's own
    function: Callable[..., Any] = names["f"]
    return function


def digest(packer: Packer, function: Callable[..., Any]) -> str:
    (packed,) = joined_singles([packer.pack_single(function, (1,), {}, 0)])
    assert isinstance(packed, Chunk)
    return packed.function


CHANGES: list[tuple[str, Callable[[Any], None]]] = [
    ("code", lambda f: setattr(f, "__code__", made("def f(x): return x + 2").__code__)),
    ("defaults", lambda f: setattr(f, "__defaults__", (7,))),
    ("attribute", lambda f: setattr(f, "note", "x")),
    ("annotations", lambda f: setattr(f, "__annotations__", {"x": "int"})),
    ("a global of a name that it uses", lambda f: f.__globals__.__setitem__("abs", float)),
]


@pytest.mark.parametrize("change", [change for _, change in CHANGES], ids=[n for n, _ in CHANGES])
def test_a_function_that_has_changed_is_pickled_again(change: Callable[[Any], None]) -> None:
    packer, function = Packer(same_buffers=False), made("def f(x): return abs(x) + 1")
    before = digest(packer, function)
    assert digest(packer, function) == before
    change(function)
    assert digest(packer, function) != before


@pytest.mark.parametrize(
    "source",
    [
        "def f(x): return y",
        "def f(x=[]): return x",
        "def f(x): return lambda: y",
        "g = [1]\nf = (lambda: (lambda x: g))()",
    ],
)
def test_what_refers_to_something_has_no_key_of_its_own(source: str) -> None:
    assert pickling.content_key(made(source, y=1)) is None


def test_built_in_functions_and_modules_functions_travel_by_name() -> None:
    packer = Packer(same_buffers=False)
    assert digest(packer, math.sqrt) == digest(packer, math.sqrt)


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_single_calls_that_follow_each_other_travel_as_one_part(batch: int) -> None:
    packer = Packer(same_buffers=False)
    singles = [packer.pack_single(abs, (i,), {}, i) for i in range(100)]
    chunks = []
    for at in range(0, 100, batch):
        chunks += [
            one for one in joined_singles(singles[at : at + batch]) if isinstance(one, Chunk)
        ]
    (part,) = joined([ChunkPart(chunk, 0, len(chunk)) for chunk in chunks])
    (whole,) = Packer(same_buffers=False).pack(abs, ((i,) for i in range(100)), 0)
    assert isinstance(whole, Chunk)
    assert (part.first, len(part), part.ends) == (0, 100, whole.ends)
    assert bytes(part.payload) == bytes(whole.payload)


def test_chunks_are_cut_and_their_indexes_go_on() -> None:
    chunks = list(Packer(same_buffers=False).pack(abs, ((i,) for i in range(10_000)), 5))
    assert all(isinstance(chunk, Chunk) and len(chunk) <= CHUNK_TASKS for chunk in chunks)
    found = [chunk.first for chunk in chunks if isinstance(chunk, Chunk)]
    lengths = [len(chunk) for chunk in chunks if isinstance(chunk, Chunk)]
    assert found == [5 + sum(lengths[:at]) for at in range(len(lengths))]
    assert sum(lengths) == 10_000


def test_no_payload_is_lent_by_a_file() -> None:
    """Python 3.14 warns of a file that is collected before what it has lent."""
    (packed,) = Packer(same_buffers=False).pack(abs, [(1,), (2,)], 0)
    assert isinstance(packed, Chunk)
    assert isinstance(memoryview(packed.payload).obj, bytes)
