"""Notes about what a worker lacks, for the exception that a task raised because of it.

**Input:** a task's exception. **Output:** the same one, with a note if the cause is known.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType

_LOOKUP: CodeType = type(os.environ).__getitem__.__code__


def explain(error: BaseException) -> None:
    """Add a note to an exception about a module, file or variable that the worker does not have."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        error.add_note(_about_module(error.name))
    elif isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
        error.add_note(
            f"The worker has no {error.filename!r}. Files and programs of your machine are not "
            "sent. Read the file before and pass its content, store it in S3, or put it into a "
            "package of your own, whose files are sent."
        )
    elif isinstance(error, OSError) and error.errno == errno.EROFS:
        error.add_note(
            "A worker can write to /tmp alone. Its files are lost when Lambda ends it: return what "
            "should stay, or store it in S3."
        )
    elif isinstance(error, KeyError) and _raised_in(error) is _LOOKUP:
        error.add_note(
            f"The worker has no environment variable {error.args[0]!r}. Variables of your machine "
            "are not sent. Set it for tasks: LambdaExecutor(env={...}), "
            'parallel_config("dolambda", env={...}), or foreach\'s options.'
        )


def _about_module(name: str) -> str:
    first = name.partition(".")[0]
    if first == "dolambda":
        return (
            f"Workers have no client of dolambda, and so no module {name!r}. Import it where you "
            "use it, or import the names of dolambda itself, which workers know."
        )
    return (
        f"The worker has no module {name!r}. If it belongs to a package, add the package: "
        "dolambda.register('local', extra_requires=[...]), or `dolambda deploy "
        "--extra-requires ...`. "
        "requires=[...] would replace all packages of the workers. If the module is your own, "
        f"name it: include_code=[{first!r}]."
    )


def _raised_in(error: BaseException) -> CodeType | None:
    """Return the code that raised the exception."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code if trace is not None else None
