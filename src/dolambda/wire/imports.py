"""The modules that code imports when it runs.

**Input:** a code object. **Output:** the names of the modules that it and the code in it import: by
statements, and by `import_module` and `__import__` with a literal name.
"""

from __future__ import annotations

import re
from opcode import opmap
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODULE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_BY_FUNCTION = frozenset({"import_module", "__import__"})
_IMPORT_NAME = opmap["IMPORT_NAME"]
_MAX_CALLED_NAMES = 100  # strings in one function that calls import_module


def imports_of(code: CodeType, package: str = "") -> frozenset[str]:
    """Return the names of all modules that ``code`` may import.

    ``from a import b`` counts as ``a`` and ``a.b``. The latter may not be a module.

    Args:
        code: Code, with the code objects in it.
        package: Package that its relative imports start from.
    """
    names = set(_imported(code, package))
    for part in code.co_consts:
        if isinstance(part, CodeType):
            names |= imports_of(part, package)
    return frozenset(names)


def _imported(code: CodeType, package: str) -> Iterator[str]:
    if not _may_import(code):
        return
    import dis  # noqa: PLC0415 - 3 ms of a worker's cold start, and few functions import

    constants: list[object] = []
    base = ""
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            level = constants[-2] if len(constants) > 1 else 0
            base = _absolute(str(step.argval), level if isinstance(level, int) else 0, package)
            yield from filter(None, [base])
        elif step.opname == "IMPORT_FROM" and base:
            yield f"{base}.{step.argval}"
        elif step.opname.startswith("LOAD_") and step.opname.endswith(("CONST", "SMALL_INT")):
            constants.append(step.argval)
    if _BY_FUNCTION.intersection(code.co_names):
        texts = [text for text in code.co_consts if isinstance(text, str)]
        yield from filter(_MODULE_NAME.match, texts[:_MAX_CALLED_NAMES])


def _may_import(code: CodeType) -> bool:
    return not _BY_FUNCTION.isdisjoint(code.co_names) or _IMPORT_NAME in code.co_code[::2]


def _absolute(name: str, level: int, package: str) -> str:
    if not level:
        return name
    parts = package.split(".")
    if not package or level > len(parts):
        return ""
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name else base
