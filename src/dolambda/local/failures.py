"""What to do when AWS cannot be emulated here, by what was said of it."""

from __future__ import annotations

_SIGNS = (  # in lower case, the most specific first
    (
        ("no space left", "disk quota", "os error 28", "os error 122"),
        "The disk is full. Make room, or set TMPDIR (and UV_CACHE_DIR) to a disk that has some.",
    ),
    (
        ("read-only file system", "os error 30"),
        (
            "A directory cannot be written. Set UV_CACHE_DIR, where uv keeps packages, and TMPDIR to "
            "directories that can."
        ),
    ),
    (
        ("permission denied", "operation not permitted", "os error 13", "os error 1)"),
        (
            "This user may not write there. Set UV_CACHE_DIR, where uv keeps packages, and TMPDIR to "
            "directories of yours."
        ),
    ),
    (
        ("too many open files", "os error 24"),
        "This process may open too few files: `ulimit -n` shows how many.",
    ),
    (
        ("cannot allocate", "memory allocation", "memoryerror", "os error 12", "out of memory"),
        "There is too little memory, or `ulimit -v` is too small.",
    ),
    (
        ("resource temporarily unavailable", "can't start new thread", "os error 11"),
        "This user may start too few processes: `ulimit -u` shows how many.",
    ),
    (
        ("network", "dns", "connect", "request", "fetch", "registry", "timed out", "certificate"),
        "Is the package registry reachable? The emulator is installed from it on first use.",
    ),
)
_BY_STAGE = {
    "caching": "`dolambda local clean` removes what is kept between sessions.",
    "installing": "Can uv write where it keeps packages? Set UV_CACHE_DIR to a directory of yours.",
    "starting": "If the lines above do not tell, report them: it is a defect.",
}


def advice(stage: str, said: str) -> str:
    """Return what the user can do; ``stage`` is "caching", "installing" or "starting"."""
    lower = said.lower()
    for signs, hint in _SIGNS:
        if any(sign in lower for sign in signs):
            return hint
    return _BY_STAGE[stage]
