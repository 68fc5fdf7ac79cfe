"""A quote on a terminal, and by `dolambda quote`: its question is seen, "no" ends the program in
one line.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support import programs
from support.terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from dolambda.aws.account import Credentials
    from dolambda.settings import Settings

PROGRAM = """
import sys, time
import dolambda
from dolambda import LambdaExecutor, dopar, foreach
from joblib import Parallel, delayed

def work(i):
    time.sleep(0.2)
    return i

endpoint, key, secret, way, *caught = sys.argv[1:]
dolambda.register(region="us-east-1", endpoint_url=endpoint, key=key, secret=secret, quote=True)
try:
    if way == "executor":
        with LambdaExecutor() as executor:
            print("sum", sum(executor.map(work, range(30))))
    elif way == "foreach":
        print("sum", foreach(i=range(30), combine="+") % dopar % work)
    else:
        print("sum", sum(Parallel(n_jobs=-1, batch_size=1)(delayed(work)(i) for i in range(30))))
except Exception as error:
    if not caught:
        raise
    print("caught", type(error).__name__)
"""


@pytest.fixture
def command(deployed: tuple[Settings, Credentials], tmp_path: Path) -> list[str]:
    settings, credentials = deployed
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    return [
        str(program),
        str(settings.endpoint_url),
        str(credentials.key),
        str(credentials.secret),
    ]


@pytest.mark.parametrize("way", ["executor", "joblib", "foreach"])
def test_no_ends_a_script_in_one_line(command: list[str], way: str) -> None:
    status, written = on_terminal([*command, way], {"[Y/n]": "n\n"})
    assert status == 0
    asked = written.index("dolambda: continue? [Y/n] ")
    assert written[asked:] == (
        "dolambda: continue? [Y/n] n\r\n"
        "dolambda: stopped after the sample; the rest was not run\r\n"
    )  # and no bar below it


def test_a_program_may_catch_it(command: list[str]) -> None:
    status, written = on_terminal([*command, "executor", "x"], {"[Y/n]": "n\n"})
    assert status == 0
    assert written.endswith("caught QuotedError\r\n")


def test_yes_runs_the_rest(command: list[str]) -> None:
    status, written = on_terminal([*command, "executor"], {"[Y/n]": "\n"})
    assert status == 0
    assert "sum 435" in written


@pytest.mark.parametrize("way", ["executor", "joblib", "foreach"])
def test_ctrl_c_at_the_question_ends_the_program(command: list[str], way: str) -> None:
    status, written = on_terminal([*command, way], {"[Y/n]": "\x03"})
    assert status in (130, -signal.SIGINT)
    assert written.endswith("KeyboardInterrupt\r\n")
    assert "could not be removed" not in written


@pytest.mark.parametrize("way", ["executor", "joblib", "foreach"])
def test_quote_runs_a_sample_only(command: list[str], way: str) -> None:
    done = programs.run("-m", "dolambda", "quote", *command, way)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("dolambda: 25 tasks left, ")


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("print('nothing to quote')", 0, "dolambda: the program finished; every run was smaller"),
        ("1 / 0", 1, "ZeroDivisionError"),
        (
            "import dolambda; dolambda.register('local', memory=64)",
            1,
            "dolambda: memory=64 is not a whole number of MB",
        ),
    ],
)
def test_quote_of_a_program_without_a_run(
    tmp_path: Path, text: str, status: int, says: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(text)
    done = programs.run("-m", "dolambda", "quote", str(program))
    assert done.returncode == status
    assert says in done.stderr


def test_quote_gives_the_program_its_options(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys; print(sys.argv[1:])")
    done = programs.run("-m", "dolambda", "quote", str(program), "--fast", "-h", "x")
    assert done.stdout == "['--fast', '-h', 'x']\n"


def test_quote_shows_a_programs_own_error_as_python_does(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("open('/no/such/file')\n")
    quoted, run = (
        subprocess.run(
            [sys.executable, *way, str(program)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        for way in (["-m", "dolambda", "quote"], [])
    )
    assert (quoted.returncode, quoted.stderr) == (run.returncode, run.stderr)
