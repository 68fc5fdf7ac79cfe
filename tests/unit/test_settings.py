"""Settings: where they come from, which is believed, and what is said of a wrong one."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dolambda.errors import ConfigurationError
from dolambda.settings import _INTERNAL, RULES, Settings


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dolambda]\nstack = "from-file"\nworkers = 5\nrequires = ["numpy", "pandas"]\n'
    )
    below = tmp_path / "notebooks"
    below.mkdir()
    return below


def resolved(directory: Path, **arguments: Any) -> Settings:
    return Settings.resolve(directory=directory, environ={}, **arguments)


def refusal(directory: Path, environ: dict[str, str] | None = None, **arguments: Any) -> str:
    with pytest.raises(ConfigurationError, match="\n  ") as caught:
        Settings.resolve(directory=directory, environ=environ or {}, **arguments)
    said, hint = str(caught.value).split("\n  ")
    assert said not in hint
    return str(caught.value)


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


def test_every_setting_has_a_rule_that_its_default_follows() -> None:
    assert sorted(RULES) == sorted(Settings.__dataclass_fields__)
    Settings()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"stack": "Bad Name"}, "stack='Bad Name' is not a name of at most 31 lower-case"),
        ({"stack": 5}, "stack=5 is not a name"),
        ({"workers": 0}, "workers=0 is not a whole number from 1 to 100,000"),
        ({"workers": "many"}, "workers='many' is not a whole number"),
        ({"workers": "4"}, "workers='4' is not a whole number"),
        ({"workers": True}, "workers=True is not a whole number"),
        ({"workers": 2.5}, "workers=2.5 is not a whole number"),
        ({"workers": np.True_}, "is not a whole number"),
        ({"memory": float("nan")}, "memory=nan is not a whole number of MB"),
        ({"memory": [512]}, "memory=[512] is not"),
        ({"throttle": 0}, "throttle=0 is not a number of seconds from 0.02 to 60"),
        ({"throttle": "2"}, "throttle='2' is not a number"),
        ({"budget": True}, "budget=True is not a number of dollars"),
        ({"budget": 0}, "budget=0 is not a number of dollars greater than 0"),
        ({"task_timeout": -1}, "task_timeout=-1 is not a number of seconds from 0.01 to 900"),
        ({"speculate": 1}, "speculate=1 is not True or False"),
        ({"progress": "yes"}, "progress='yes' is not True or False"),
        ({"logs": "all"}, 'logs=\'all\' is not "relay", "live", "errors" or False'),
        ({"logs": []}, "logs=[] is not"),
        ({"memory": 20_000}, "from 128 to 10,240"),
        ({"timeout": 901}, "from 3 to 900"),
        ({"transport": "pigeon"}, 'is not "queue", "direct" or "in_process"'),
        (
            {"requires": "numpy"},
            "requires='numpy' is text, not a list\n  Write requires=['nu",
        ),
        ({"exclude": [1, 2]}, "exclude=[1, 2] holds 1, which is not text"),
        ({"include_code": 7}, "include_code=7 is not a list of modules"),
        ({"layers": ["x"]}, "layers=['x'] is not a list of at most 4 ARNs"),
        ({"bucket": "Bad_Bucket!"}, "bucket='Bad_Bucket!' is not a bucket name: 3 to 63"),
        ({"bucket": "x"}, "bucket='x' is not a bucket name"),
        ({"bucket": "fast--usw2-az1--x-s3"}, "S3 Express, which have no event notifications"),
        ({"bucket": "point-abc123-s3alias"}, "no alias of an access point"),
        ({"endpoint_url": "nonsense"}, "endpoint_url='nonsense' is not a URL that begins"),
        ({"endpoint_url": "http://"}, "is not a URL"),
        ({"endpoint_url": "ftp://x"}, "is not a URL"),
        ({"region": ""}, "region='' is not the name of an AWS region"),
        ({"log_days": 2}, "log_days=2 is not one of the numbers of days"),
        ({"buckets": "x"}, "unknown argument buckets=\n  Did you mean bucket=?"),
        ({"wokers": 4}, "Did you mean workers=?"),
        ({"xyzzy": 4}, "Known names: architecture, "),
        ({"retries": 3}, 'parallel_config("dolambda", retries=...)'),
        ({"run": "x"}, "run= is an option of a run"),
        ({"batch": 3}, "LambdaExecutor(batch=...)"),
        ({"n_jobs": 3}, "n_jobs= is joblib's"),
        ({"env": {"A": "b"}}, "register(env={...})"),
    ],
)
def test_what_is_wrong_is_named_with_what_it_may_be(
    tmp_path: Path, arguments: dict[str, Any], says: str
) -> None:
    assert says in refusal(tmp_path, **arguments)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ({"workers": np.int64(4)}, 4),
        ({"workers": 4.0}, 4),
        ({"throttle": np.float32(2)}, 2.0),
        ({"throttle": 2}, 2.0),
        ({"requires": iter(["numpy"])}, ("numpy",)),
        ({"requires": []}, ()),
        ({"requirements": Path("r.txt")}, "r.txt"),
        ({"logs": True}, "relay"),
        ({"logs": False}, False),
    ],
)
def test_what_means_the_same_is_taken(
    tmp_path: Path, arguments: dict[str, Any], value: object
) -> None:
    found = getattr(resolved(tmp_path, **arguments), next(iter(arguments)))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("MEMORY", "lots", "DOLAMBDA_MEMORY='lots' is not a whole number of MB"),
        ("MEMORY", "64", "DOLAMBDA_MEMORY=64 is not a whole number of MB from 128"),
        ("WORKERS", "2.5", "DOLAMBDA_WORKERS='2.5' is not a whole number"),
        ("SPECULATE", "maybe", "DOLAMBDA_SPECULATE='maybe' is not True or False"),
        ("STACK", "Bad", "DOLAMBDA_STACK='Bad' is not a name"),
        ("LAYERS", "a,b", "DOLAMBDA_LAYERS=('a', 'b') is not a list"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, value: str, says: str) -> None:
    said = refusal(tmp_path, environ={f"DOLAMBDA_{variable}": value})
    assert says in said
    assert f"Correct DOLAMBDA_{variable}, or unset it." in said


def test_the_reference_has_every_variable_that_is_read() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "reference" / "environment.md").read_text()
    sources = [
        source.read_text()
        for source in (root / "src" / "dolambda").rglob("*.py")
        if "emulator" not in source.parts  # its variables are set by the process that starts it
    ]
    read = set(re.findall(r'environ(?:\.get\(|\.pop\(|\[)"([A-Z_]+)"', "".join(sources)))
    read |= set(re.findall(r'"([A-Z_]+)" (?:not )?in os\.environ', "".join(sources)))
    assert {"COLUMNS", "XDG_RUNTIME_DIR"} <= read
    settings = {f"DOLAMBDA_{name.upper()}" for name in RULES}  # the page's table is made of these
    of_others = {"AWS_LAMBDA_RUNTIME_API", "PYTHONPATH", "PATH", "DOLAMBDA_FUNCTION", *_INTERNAL}
    assert [name for name in read - settings - of_others if f"`{name}`" not in page] == []


def test_lists_and_flags_are_read_from_variables(tmp_path: Path) -> None:
    environ = {"DOLAMBDA_REQUIRES": "numpy, pandas,", "DOLAMBDA_SPECULATE": "off"}
    found = Settings.resolve(directory=tmp_path, environ=environ)
    assert (found.requires, found.speculate) == (("numpy", "pandas"), False)
    assert Settings.resolve(directory=tmp_path, environ={"DOLAMBDA_REQUIRES": ""}).requires == ()
    assert Settings.resolve(directory=tmp_path, environ={"DOLAMBDA_STACK": ""}).stack == "dolambda"


def test_unknown_variables_are_warned_of(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match="DOLAMBDA_MEMROY is not a setting: did you mean DOLAMBDA_MEMORY"
    ) as warned:
        Settings.resolve(directory=tmp_path, environ={"DOLAMBDA_MEMROY": "512"})
    assert warned[0].filename == __file__  # the user's line, not dolambda's
    with pytest.warns(UserWarning, match="DOLAMBDA_XYZZY is not a setting$"):
        Settings.resolve(directory=tmp_path, environ={"DOLAMBDA_XYZZY": "512"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Settings.resolve(directory=tmp_path, environ={"DOLAMBDA_TEST_AWS": "1", "LAMBDA_X": "1"})


# pyproject.toml


def written(folder: Path, content: bytes | str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "pyproject.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[tool.x\n", "is not valid TOML: "),
        (b"x = " + b"[" * 5000, "is not valid TOML: "),
        (b'[project]\nauthors = ["J\xe9r"]\n', "is not UTF-8: "),
        ("[tool]\ndolambda = 3\n", "[tool.dolambda] in "),
        ("[tool]\ndolambda = [1]\n", "[tool.dolambda] in "),
        ("tool = 3\n", "[tool] in "),
        ("[tool.dolambda]\nmemry = 1\n", "memry\n  Did you mean memory?"),
        ("[tool.dolambda]\nretries = 1\n", "option of a run"),
        ("[tool.dolambda]\nmemory = 64\n", "[tool.dolambda] memory = 64 in "),
        ('[tool.dolambda]\nworkers = "3"\n', '[tool.dolambda] workers = "3" in '),
        ("[tool.dolambda]\nworkers = true\n", "workers = true in "),
        ("[tool.dolambda]\nworkers = 2.5\n", "workers = 2.5 in "),
        ("[tool.dolambda]\nexclude = [1, 2]\n", "holds 1, which is not text"),
        ('[tool.dolambda]\nrequires = "numpy"\n', "is text, not a list"),
        ('[tool.dolambda]\nrequires = "numpy"\n', 'Write [tool.dolambda] requires = ["numpy"] in'),
    ],
)
def test_what_is_wrong_with_a_file_names_it(
    tmp_path: Path, content: bytes | str, says: str
) -> None:
    file = written(tmp_path, content)
    for directory in (tmp_path, tmp_path / "below" / "it"):
        directory.mkdir(parents=True, exist_ok=True)
        said = refusal(directory)
        assert says in said
        assert str(file) in said


def test_a_byte_order_mark_and_crlf_are_read(tmp_path: Path) -> None:
    written(tmp_path, b"\xef\xbb\xbf[tool.dolambda]\r\nworkers = 3\r\n")
    assert resolved(tmp_path).workers == 3


def test_the_search_ends_at_the_repository_or_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "[tool.dolambda]\nworkers = 3\n")
    for name in ("repository", "home", "plain"):
        (tmp_path / name / "deep" / "down").mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert resolved(tmp_path / "repository" / "deep" / "down").workers is None
    assert resolved(tmp_path / "home" / "deep" / "down").workers is None
    assert resolved(tmp_path / "plain" / "deep" / "down").workers == 3
    for name in ("repository", "home"):
        written(tmp_path / name, "[tool.dolambda]\nworkers = 4\n")
        assert resolved(tmp_path / name / "deep" / "down").workers == 4
    written(tmp_path / "home" / "deep", "[project]\n")  # the nearest one is the project's own
    assert resolved(tmp_path / "home" / "deep" / "down").workers is None


EVIL = '[tool.dolambda]\nendpoint_url = "http://127.0.0.1:6666"\nprofile = "x"\nworkers = 3\n'


def test_a_file_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    file = written(tmp_path / "open", EVIL)
    below = tmp_path / "open" / "alice" / "work"
    below.mkdir(parents=True)
    for place, mode in ((file.parent, 0o777), (file.parent, 0o1777), (file, 0o666)):
        before = place.stat().st_mode
        place.chmod(mode)
        with pytest.warns(
            UserWarning, match=f"is not used: others can write to {re.escape(str(place))}"
        ):
            found = resolved(below)
        assert (found.endpoint_url, found.profile, found.workers) == (None, None, None)
        place.chmod(before)
    assert resolved(below).workers == 3


def test_a_link_is_believed_as_little_as_what_it_leads_to(tmp_path: Path) -> None:
    file = written(tmp_path / "open", EVIL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pyproject.toml").symlink_to(file)
    assert resolved(tmp_path / "mine").workers == 3
    file.parent.chmod(0o777)
    with pytest.warns(UserWarning, match="others can write to"):
        assert resolved(tmp_path / "mine").workers is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_used(tmp_path: Path) -> None:
    file = written(tmp_path / "theirs", EVIL)
    for place in (file, file.parent):
        os.chown(place, 65534, 65534)
        with pytest.warns(UserWarning, match=f"{re.escape(str(place))} belongs to another user"):
            assert resolved(tmp_path / "theirs").endpoint_url is None
        os.chown(place, 0, 0)


def test_a_file_of_others_that_says_nothing_to_us_or_is_broken_is_passed_over(
    tmp_path: Path,
) -> None:
    for content in ("[tool.black]\n", "[broken"):
        written(tmp_path / "open", content).parent.chmod(0o777)
        assert resolved(tmp_path / "open") == Settings()


def test_a_deleted_working_directory_has_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert Settings.resolve(environ={}) == Settings()
    monkeypatch.chdir(tmp_path)
