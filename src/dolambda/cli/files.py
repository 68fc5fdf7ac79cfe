"""Files that a command writes: refused before the work is done, and without a traceback after it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def refuse_unwritable(file: Path, named: str) -> None:
    """Raise `ConfigurationError` for what cannot be a file. ``named`` is what the user calls it."""
    if file.is_dir():
        raise ConfigurationError(
            f"{named} {str(file)!r} is a directory", hint=f"Name a file in it: {file / 'name'}."
        )
    if not file.parent.is_dir():
        raise ConfigurationError(
            f"{named} {str(file)!r}: there is no directory {str(file.parent)!r}",
            hint="Make it first, or name a file in a directory that exists.",
        )


@contextmanager
def writing(file: Path, named: str) -> Iterator[None]:
    """Make what the system refuses while a file is written a `ConfigurationError`."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{named} {str(file)!r} cannot be written: {error.strerror}",
            hint="Name a file in a directory that you may write to, on a disk with space.",
        ) from error
