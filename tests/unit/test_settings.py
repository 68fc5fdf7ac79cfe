from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dolambda.errors import ConfigurationError
from dolambda.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dolambda]\nstack = "from-file"\nworkers = 5\nrequires = ["numpy", "pandas"]\n'
    )
    below = tmp_path / "notebooks"
    below.mkdir()
    return below


def test_argument_beats_environment_beats_file_beats_default(project: Path) -> None:
    environ = {"DOLAMBDA_WORKERS": "6", "DOLAMBDA_THROTTLE": "2.5", "DOLAMBDA_LOGS": "no"}
    found = Settings.resolve(directory=project, environ=environ, throttle=3)
    assert (found.stack, found.workers, found.throttle, found.logs, found.memory) == (
        "from-file",
        6,
        3.0,
        False,
        1769,
    )
    assert found.requires == ("numpy", "pandas")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"stack": "Bad Name"}, "stack='Bad Name'"),
        ({"workers": 0}, "workers=0"),
        ({"throttle": 0}, "throttle=0"),
        ({"memory": 20_000}, "from 128 to 10,240"),
        ({"timeout": 901}, "from 3 to 900"),
        ({"transport": "pigeon"}, '"queue", "direct" or "in_process"'),
        ({"workers": "many"}, "workers='many' is no int"),
        ({"buckets": "x"}, "unknown argument: buckets"),
    ],
)
def test_what_is_wrong_is_named_with_what_it_may_be(
    tmp_path: Path, arguments: dict[str, Any], names: str
) -> None:
    with pytest.raises(ConfigurationError, match="\n  ") as caught:
        Settings.resolve(directory=tmp_path, environ={}, **arguments)
    assert names in str(caught.value)


def test_the_source_of_a_wrong_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="DOLAMBDA_MEMORY='lots' is no int"):
        Settings.resolve(directory=tmp_path, environ={"DOLAMBDA_MEMORY": "lots"})
    (tmp_path / "pyproject.toml").write_text("[tool.dolambda]\nmemry = 1\n")
    with pytest.raises(ConfigurationError, match=r"unknown \[tool.dolambda\] key: memry"):
        Settings.resolve(directory=tmp_path, environ={})
