"""What the project's files say twice is the same: addresses, version, Python versions, commands."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_PROJECT: dict[str, Any] = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
_URLS: dict[str, str] = _PROJECT["urls"]
_MADE = {"_build", "generated", "jupyter_execute", "__pycache__"}
_HOSTED = re.compile(
    r"https?://(?:www\.)?(?:github\.com|raw\.githubusercontent\.com|[\w-]+\.github\.io|[\w-]+\."
    r"readthedocs\.io|pypi\.org)/[^\s)\"'`>\]]*"
)
_OTHERS = "VanAndelInstitute/doLambda"  # the R package that this one began as
_WORKFLOWS = sorted((_ROOT / ".github" / "workflows").glob("*.yml"))


def _texts() -> dict[str, str]:
    patterns = ["*.*", ".github/**/*.*", "docs/**/*.*", "src/**/*.py", "tests/**/*.py", "bench/*"]
    patterns += ["examples/*", "r/doLambda/**/*"]
    suffixes = {".md", ".py", ".toml", ".yml", ".cff", ".R", ".Rd", ".Rmd", ""}
    return {
        str(path.relative_to(_ROOT)): path.read_text()
        for pattern in patterns
        for path in _ROOT.glob(pattern)
        if path.is_file() and path.suffix in suffixes and not _MADE & set(path.parts)
    }


def _addresses() -> list[tuple[str, str]]:
    """Return where an address of this project is written, and the address."""
    return [
        (page, address)
        for page, text in _texts().items()
        for address in _HOSTED.findall(text)
        if "dolambda" in address.lower() and _OTHERS not in address
    ]


def test_the_addresses_of_the_project_belong_to_one_repository() -> None:
    source = _URLS["Source"]
    assert _URLS["Issues"] == f"{source}/issues"
    assert _URLS["Changelog"] == f"{source}/blob/main/CHANGELOG.md"


def test_every_address_of_the_project_is_one_that_pyproject_names() -> None:
    raw = _URLS["Source"].replace("github.com", "raw.githubusercontent.com")
    allowed = re.compile(
        "|".join(rf"{re.escape(url.rstrip('/'))}(?:[/.#,:]|$)" for url in (*_URLS.values(), raw))
    )
    found = _addresses()
    assert len(found) > 10
    assert [each for each in found if not allowed.match(each[1])] == []


def test_an_address_of_a_file_names_one_that_exists() -> None:
    blob = f"{_URLS['Source']}/blob/main/"
    named = {(page, url.partition("#")[0]) for page, url in _addresses() if url.startswith(blob)}
    files = {(page, url.removeprefix(blob)) for page, url in named if "\\" not in url}
    assert files
    assert [each for each in files if not (_ROOT / each[1].rstrip(".,:")).exists()] == []


def test_the_version_is_the_same_everywhere() -> None:
    version = _PROJECT["version"]
    texts = _texts()
    assert re.search(r"^version: (.*)$", texts["CITATION.cff"], re.MULTILINE)[1] == version  # type: ignore[index]
    description = (_ROOT / "r" / "doLambda" / "DESCRIPTION").read_text()
    assert re.search(r"^Version: (.*)$", description, re.MULTILINE)[1] == version  # type: ignore[index]
    assert re.search(rf"^## \[{re.escape(version)}\]", texts["CHANGELOG.md"], re.MULTILINE)
    wheels = {
        (page, wheel)
        for page, text in texts.items()
        if page.endswith(".md")
        for wheel in re.findall(r"dolambda-([\d.]+)-py3-none-any\.whl", text)
    }
    assert wheels
    assert {wheel for _, wheel in wheels} == {version}


def test_the_matrix_of_ci_begins_with_the_lowest_python_and_has_all_that_are_claimed() -> None:
    matrix = re.search(r"python: \[(.*)\]", (_ROOT / ".github/workflows/ci.yml").read_text())
    assert matrix is not None
    tested = re.findall(r'"(3\.\d+)"', matrix[1])
    claimed = re.findall(r"Python :: (3\.\d+)", "\n".join(_PROJECT["classifiers"]))
    assert tested[0] == _PROJECT["requires-python"].removeprefix(">=")
    assert set(claimed) <= set(tested)


@pytest.mark.parametrize("workflow", _WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_hash(workflow: Path) -> None:
    uses = re.findall(r"uses: (.*)", workflow.read_text())
    assert uses
    pinned = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [each for each in uses if not pinned.fullmatch(each)] == []


@pytest.mark.parametrize("action", ["actions/checkout", "actions/setup-python"])
def test_an_action_has_one_version(action: str) -> None:
    found = {
        pin
        for workflow in _WORKFLOWS
        for pin in re.findall(rf"uses: {action}@(.*)", workflow.read_text())
    }
    assert len(found) == 1


def test_external_links_are_checked_on_a_schedule() -> None:
    text = (_ROOT / ".github" / "workflows" / "links.yml").read_text()
    assert re.search(r"^  schedule:\n    - cron: ", text, re.MULTILINE)
    assert "run: make linkcheck" in text


def test_the_architecture_shows_the_layers_that_are_checked() -> None:
    whole = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    layers = whole["tool"]["importlinter"]["contracts"][0]["layers"][1:]  # without __main__
    checked = {name.strip() for layer in layers for name in layer.split("|")}
    text = (_ROOT / "ARCHITECTURE.md").read_text()
    shown = re.search(r"TYPE_CHECKING included:\n\n(.*?)\n\n", text, re.DOTALL)
    assert shown is not None
    assert {name.strip() for name in re.split(r"[|>]", shown[1])} == checked


def test_jobs_on_linux_have_what_tests_need_of_the_system() -> None:
    """In CI a test without its program fails, so each job that runs tests installs them."""
    text = (_ROOT / ".github" / "workflows" / "ci.yml").read_text()
    jobs = re.split(r"^  (?=[a-z-]+:$)", text, flags=re.MULTILINE)
    testing = [job for job in jobs if re.search(r"run: make (test|coverage)", job)]
    assert len(testing) >= 3
    for job in testing:
        assert "run: .ci/install-on-ubuntu" in job, job.partition(":")[0]
    assert os.access(_ROOT / ".ci" / "install-on-ubuntu", os.X_OK)
