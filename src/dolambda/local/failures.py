"""Hints for a failed emulation of AWS, found by the text of the error."""

from __future__ import annotations

_SIGNS = (  # lower-case, the most specific first
    (
        ("no space left", "disk quota", "os error 28", "os error 122"),
        "The disk is full. Free some space, or set TMPDIR (and UV_CACHE_DIR) to another disk.",
    ),
    (
        ("read-only file system", "os error 30"),
        (
            "A directory is read-only. Set UV_CACHE_DIR, where uv keeps packages, and TMPDIR to "
            "writable directories."
        ),
    ),
    (
        ("permission denied", "operation not permitted", "os error 13", "os error 1)"),
        (
            "This user may not write to a directory. Set UV_CACHE_DIR, where uv keeps packages, "
            "and "
            "TMPDIR to directories that belong to you."
        ),
    ),
    (
        ("too many open files", "os error 24"),
        "This process may open too few files: `ulimit -n` shows the limit.",
    ),
    (
        ("cannot allocate", "memory allocation", "memoryerror", "os error 12", "out of memory"),
        "There is too little memory, or `ulimit -v` is too small.",
    ),
    (
        ("resource temporarily unavailable", "can't start new thread", "os error 11"),
        "This user may start too few processes: `ulimit -u` shows the limit.",
    ),
    (
        ("network", "dns", "connect", "request", "fetch", "registry", "timed out", "certificate"),
        (
            "Check that the package registry can be reached: the first start installs the emulator "
            "from it."
        ),
    ),
)
_BY_STAGE = {
    "caching": "`dolambda local clean` removes the files kept between sessions.",
    "installing": (
        "Check that uv can write where it keeps packages, or set UV_CACHE_DIR to a directory "
        "that belongs to you."
    ),
    "starting": "If the lines above do not explain the failure, report them as a defect.",
}


def advice(stage: str, said: str) -> str:
    """Return what the user can do. ``stage`` is "caching", "installing" or "starting"."""
    lower = said.lower()
    for signs, hint in _SIGNS:
        if any(sign in lower for sign in signs):
            return hint
    return _BY_STAGE[stage]
