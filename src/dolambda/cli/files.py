"""Files that a command writes, checked before the work, and without a traceback after it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def refuse_unwritable(file: Path, named: str) -> None:
    """Raise `ConfigurationError` for a path that cannot be a file, called ``named`` by the user."""
    if file.is_dir():
        raise ConfigurationError(
            f"{named} {str(file)!r} is a directory", hint=f"Use a file in it: {file / 'name'}."
        )
    if not file.parent.is_dir():
        raise ConfigurationError(
            f"{named} {str(file)!r}: the directory {str(file.parent)!r} does not exist",
            hint="Create it first, or use a file in an existing directory.",
        )


@contextmanager
def writing(file: Path, named: str) -> Iterator[None]:
    """Replace the system's errors while a file is written by `ConfigurationError`."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{named} {str(file)!r} cannot be written: {error.strerror}",
            hint="Use a file in a directory that you can write to, on a disk with space.",
        ) from error
