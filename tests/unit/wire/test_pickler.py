"""What a main program sends, loaded by a process that has not its file."""

from __future__ import annotations

import collections
import decimal
import io
import pathlib
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dolambda.wire.pickler import Pickler

if TYPE_CHECKING:
    from pathlib import Path

LOAD = """
import pathlib, sys
from dolambda.wire import pickling, tracebacks
sent = pickling.load(pathlib.Path("sent").read_bytes())
"""


def run(directory: Path, source: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        cwd=directory,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def travel(tmp_path: Path, program: str, there: str, before: str = "") -> str:
    """Run a program that defines `send`, and ``there`` in another process once its file is gone."""
    here, elsewhere = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    elsewhere.mkdir()
    file = here / "program.py"
    file.write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"], capture_output=True, text=True, cwd=here, check=False
    )
    assert done.returncode == 0, done.stderr
    file.unlink()
    (here / "sent").rename(elsewhere / "sent")
    return run(elsewhere, before + LOAD + there)


WRITE = """
import pathlib
from dolambda.wire import pickling
def write(value):
    pathlib.Path("sent").write_bytes(pickling.dump(value, "x")[0])
"""


def test_tracebacks_show_file_line_and_source_where_the_file_is_not(tmp_path: Path) -> None:
    program = f"""{WRITE}
def helper(x):
    return 1 / x  # the culprit

def task(x):
    def inner():
        return helper(x)  # on the way
    return inner()

write(task)
"""
    there = """
try:
    sent(0)
except ZeroDivisionError as error:
    print(tracebacks.formatted(error))
"""
    said = travel(tmp_path, program, there)
    lines = program.splitlines()
    for text in ("return 1 / x  # the culprit", "return helper(x)  # on the way"):
        number = next(at for at, line in enumerate(lines, 1) if text in line)
        assert f'program.py", line {number}, in ' in said
        assert text in said


def test_warnings_show_their_source_line(tmp_path: Path) -> None:
    program = f"""{WRITE}
import warnings
def task():
    warnings.warn("odd")  # here

write(task)
"""
    there = """
import contextlib, io
with contextlib.redirect_stderr(io.StringIO()) as said:
    sent()
print(said.getvalue())
"""
    said = travel(tmp_path, program, there)
    assert "program.py:9: UserWarning: odd" in said
    assert 'warnings.warn("odd")  # here' in said


def test_cached_functions_and_methods_of_the_main_program_travel(tmp_path: Path) -> None:
    program = f"""{WRITE}
import functools
@functools.lru_cache(maxsize=7)
def fib(n):
    "Doc."
    return n if n < 2 else fib(n - 1) + fib(n - 2)

class Squares:
    @functools.cache
    def of(self, n):
        return n * n
    @staticmethod
    @functools.cache
    def double(n):
        return 2 * n

fib(5)
import colorsys
from dolambda.wire.keys import parse_job_key
write((fib, Squares, parse_job_key))
"""
    there = """
fib, Squares, by_name = sent
size = fib.cache_parameters()["maxsize"]
print(fib.cache_info().currsize, fib(20), fib.cache_info().hits, size, fib.__doc__)
print(Squares().of(3), Squares.double(4), fib.__wrapped__.__globals__["fib"] is fib)
"""
    assert travel(tmp_path, program, there) == "0 6765 18 7 Doc.\n9 8 True\n"


def test_a_spawned_processs_main_program_travels_by_value(tmp_path: Path) -> None:
    program = f"""{WRITE}
import dataclasses, enum, functools, multiprocessing
from typing import Generic, TypeVar

T = TypeVar("T")

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Point(Generic[T]):
    x: T

@functools.cache
def cached(x):
    return x

def task(x):
    return Point(cached(x + 1)), Colour.RED

def child():
    write((task, Point, Colour))

if __name__ == "__main__":
    for way in ("spawn", "forkserver"):
        process = multiprocessing.get_context(way).Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 0
"""
    there = """
task, Point, Colour = sent
point, colour = task(1)
print(point, type(point) is Point, colour is Colour.RED)
"""
    assert travel(tmp_path, program, there) == "Point(x=2) True True\n"


def test_warning_classes_that_are_missing_there_are_replaced(tmp_path: Path) -> None:
    """As among the filters that scikit-learn sends with each function, in IPython."""
    program = f"""{WRITE}
import sys, types, zipfile
module = types.ModuleType("only_here")
class Odd(UserWarning):
    __module__ = "only_here"
module.Odd = Odd
sys.modules["only_here"] = module
import dolambda.errors
class Mine(Warning):
    pass
write([("ignore", None, cls, None, 0) for cls in (Odd, Odd, DeprecationWarning, Mine)])
"""
    there = """
import warnings
warnings.filters[:] = sent
classes = [entry[2] for entry in sent]
print([cls.__name__ for cls in classes], classes[0] is classes[1], classes[2] is DeprecationWarning)
warnings.warn("x", classes[0])
"""
    said = travel(tmp_path, program, there)
    assert said == "['Odd', 'Odd', 'DeprecationWarning', 'Mine'] True True\n"


def test_rewritten_assertions_need_no_pytest_there(tmp_path: Path) -> None:
    program = f"""{WRITE}
import _pytest.assertion.rewrite as helpers
globals()["@pytest_ar"] = helpers
import ast
tree = ast.parse("def check(x):\\n    assert x == 1\\n    return x")
helpers.rewrite_asserts(tree, b"")
names = {{"__name__": "__main__"}}
exec(compile(tree, "test_x.py", "exec"), names)
write(names["check"])
"""
    there = """
print(sent(1))
try:
    sent(2)
except AssertionError as error:
    print("raised")
"""
    hidden = "import sys\nsys.modules['_pytest'] = None\n"
    assert travel(tmp_path, program, there, before=hidden) == "1\nraised\n"


def test_classes_keep_their_slots(tmp_path: Path) -> None:
    program = f"""{WRITE}
import dataclasses, typing, weakref

class Base:
    __slots__ = ("shown", "__hidden", "unset")
    def __init__(self, value):
        self.shown, self.__hidden = value, value + 1
    def both(self):
        return self.shown, self.__hidden

class Single(Base):
    __slots__ = "more"

class Open(Base):
    def __init__(self, value):
        super().__init__(value)
        self.free = value

@dataclasses.dataclass(slots=True, weakref_slot=True)
class Point:
    x: int
    def __post_init__(self):
        weakref.ref(self)

class Row(typing.NamedTuple):
    x: int

class Longer(Row):
    __slots__ = ()

write((Base, Single, Open, Point, Longer, Open(5)))
"""
    there = """
import pathlib
*classes, whole = sent
made = [kind(3) for kind in classes]
dicts = [hasattr(one, "__dict__") for one in made[:4]]
print(dicts, made[1].both(), whole.both(), whole.free, made[4])
print([vars(type(one)).get("__slots__") for one in made[:2]])
print([one.__reduce_ex__(2)[2] for one in made[:3]])
"""
    assert travel(tmp_path, program, there).splitlines() == [
        "[False, False, True, False] (3, 4) (5, 6) 5 Longer(x=3)",
        "[('shown', '__hidden', 'unset'), 'more']",
        (
            "[(None, {'shown': 3, '_Base__hidden': 4}), (None, {'shown': 3, '_Base__hidden': 4}), "
            "({'free': 3}, {'shown': 3, '_Base__hidden': 4})]"
        ),
    ]


def test_cached_properties_and_generic_functions_of_the_main_program_travel(
    tmp_path: Path,
) -> None:
    program = f"""{WRITE}
import collections.abc, functools

class Square:
    def __init__(self, side):
        self.side = side
    @functools.cached_property
    def area(self):
        "Doc."
        return self.side ** 2
    @functools.singledispatchmethod
    def kind(self, value):
        return "other"
    @kind.register
    def _(self, value: str):
        return "text"

@functools.singledispatch
def depth(value):
    "Doc of depth."
    return 0

@depth.register
def _(value: list):
    return 1 + max(map(depth, value), default=0)

@depth.register(collections.abc.Mapping)
def of_mapping(value):
    return 1 + max(map(depth, value.values()), default=0)

@depth.register
def _(value: Square | bytes):
    return -1

depth([1])
square = Square(3)
square.area
write((Square, square, depth))
"""
    there = """
Square, square, depth = sent
other = Square(4)
print(vars(square), square.area, other.area, Square.area.__doc__, other.kind("a"), other.kind(1))
print(depth(1), depth([[1]]), depth({"a": [1]}), depth(square), depth(b""))
print(depth.__name__, depth.__doc__)
print(depth.register(str, lambda value: 5) and depth("a"), depth.__wrapped__([1]))
"""
    assert travel(tmp_path, program, there).splitlines() == [
        "{'side': 3, 'area': 9} 9 16 Doc. text other",
        "0 2 2 -1 -1",
        "depth Doc of depth.",
        "5 0",
    ]


def test_parts_of_types_that_cloudpickle_leaves_out_travel(tmp_path: Path) -> None:
    program = f"""{WRITE}
import dataclasses, enum, typing

class Planet(enum.Enum):
    MERCURY = (3.3e23, 2.4e6)
    EARTH = (6.0e24, 6.4e6)
    TERRA = (6.0e24, 6.4e6)
    def __init__(self, mass, radius):
        self.mass, self.radius = mass, [radius]
    @classmethod
    def _missing_(cls, value):
        return cls.EARTH

class Access(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3

class Outer:
    @dataclasses.dataclass
    class Inner:
        x: int

Key = typing.NewType("Key", int)
P = typing.ParamSpec("P")

def key(x: Key, rest: typing.Callable[P, Key] | None = None) -> Key:
    return Key(x + 1)

write((Planet, Planet.TERRA, Access, Outer.Inner(2), key))
back = pickling.load(pathlib.Path("sent").read_bytes())
assert back[0] is Planet and back[1] is Planet.EARTH and back[2] is Access
assert back[4].__annotations__["x"] is Key
"""
    there = """
Planet, terra, Access, inner, key = sent
print(terra is Planet.EARTH, terra.mass, Planet.MERCURY.radius, Planet("x").name, list(Planet))
print(list(Planet.__members__), Access.BOTH, ~Access.READ, inner, type(inner).__qualname__, key(1))
"""
    assert travel(tmp_path, program, there).splitlines() == [
        (
            "True 6e+24 [2400000.0] EARTH [<Planet.MERCURY: (3.3e+23, 2400000.0)>, "
            "<Planet.EARTH: (6e+24, 6400000.0)>]"
        ),
        "['MERCURY', 'EARTH', 'TERRA'] Access.BOTH Access.WRITE Outer.Inner(x=2) Outer.Inner 2",
    ]


def test_a_class_that_comes_back_does_not_change_the_original(tmp_path: Path) -> None:
    program = f"""{WRITE}
class Counter:
    made = 0

class Later(Counter):
    pass

write((Counter, Counter()))
Counter.made = 5
again, _ = pickling.load(pathlib.Path("sent").read_bytes())
assert again is Counter and Counter.made == 5
second = pickling.dump((Counter, Later()), "x")[0]
write((pathlib.Path("sent").read_bytes(), second))
"""
    there = """
first, second = sent
Counter, one = pickling.load(first)
print(Counter.made)
again, two = pickling.load(second)
print(again is Counter, Counter.made, type(two).__mro__[1] is Counter)
pickling.dump(one, "x")
print(pickling.load(first)[0] is Counter, Counter.made)
"""
    assert travel(tmp_path, program, there).splitlines() == ["0", "True 5 True", "True 0"]


class Local:
    """A class that is known by name."""


def of_no_module() -> type:
    return type("Dynamic", (), {"__module__": "__main__"})


@pytest.mark.parametrize(
    "obj",
    [
        np.arange(3.0),
        np.float64,
        textwrap.dedent,
        lambda x: x + 1,
        Local(),
        of_no_module()(),
        collections.OrderedDict(a=decimal.Decimal(1)),
        pathlib.PurePosixPath("a"),
        DeprecationWarning,
    ],
    ids=lambda obj: type(obj).__name__,
)
def test_a_pickler_that_knows_an_object_writes_the_same_again(obj: Any) -> None:
    file = io.BytesIO()
    pickler, written = Pickler(file, many=True), list[bytes]()
    for _ in range(3):
        begin = file.tell()
        pickler.dump(obj)
        pickler.clear_memo()
        pickler.covered.clear()
        written.append(file.getvalue()[begin:])
    assert written[0] == written[1] == written[2]
