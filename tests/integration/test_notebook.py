"""A real Jupyter kernel: cells as people write them, definitions that change, an interrupt, a bar
that is no terminal's.
"""

from __future__ import annotations

import os
import re
import time
from queue import Empty
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.aws.account import Credentials
    from dolambda.settings import Settings

# ipykernel and jupyter_client warn of each other and of their event loops, which is none of our
# business
pytestmark = pytest.mark.filterwarnings("ignore")


LEFT_WITHIN_10_S = """
until = time.monotonic() + 10
def left():
    return session.bucket.list("jobs/"), len(session._accounts.open_runs())
while left() != ([], 0) and time.monotonic() < until:
    time.sleep(0.05)
print(*left())
"""


class Notebook:
    """Cells, run one after the other; each gives what it printed."""

    def __init__(self, manager: KernelManager, client: Any) -> None:
        self.manager = manager
        self.client = client
        self.shown: list[tuple[str, Any]] = []  # what cells showed, in order: kind and content

    def send(self, cell: str) -> str:
        return str(self.client.execute(cell))

    def wait(self, request: str, seconds: float = 60) -> tuple[str, str, str]:
        """What a cell wrote to standard output and error, and its error's name."""
        out, err, error = "", "", ""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            content = message["content"]
            if message["parent_header"].get("msg_id") != request:
                continue
            self.shown.append((message["msg_type"], content))
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                out += content["text"]
            elif message["msg_type"] == "stream":
                err += content["text"]
            elif message["msg_type"] == "error":
                error = content["ename"]
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return out, err, error
        pytest.fail(f"the cell was not done within {seconds} s")

    def run(self, cell: str) -> str:
        out, err, error = self.wait(self.send(cell))
        assert not error, err
        return out


@pytest.fixture(scope="module")
def notebook(deployed: tuple[Settings, Credentials]) -> Iterator[Notebook]:
    settings, credentials = deployed
    manager = KernelManager(kernel_name="python3")
    environment = os.environ | {
        "DOLAMBDA_ENDPOINT_URL": settings.endpoint_url or "",
        "DOLAMBDA_REGION": settings.region or "",
    }
    environment |= {
        "AWS_ACCESS_KEY_ID": credentials.key or "",
        "AWS_SECRET_ACCESS_KEY": credentials.secret or "",
    }
    manager.start_kernel(env=environment)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        opened = Notebook(manager, client)
        opened.run("import dolambda, time, joblib; session = dolambda.register(progress=False)")
        yield opened
        opened.run("dolambda.unregister()")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_what_cells_define_travels_and_its_newest_version_is_used(notebook: Notebook) -> None:
    notebook.run("factor = 2\ndef scaled(x): return factor * x")
    use = "print(joblib.Parallel(n_jobs=-1)(joblib.delayed(scaled)(i) for i in range(3)))"
    assert notebook.run(use) == "[0, 2, 4]\n"
    notebook.run("factor = 3")
    assert notebook.run(use) == "[0, 3, 6]\n"
    notebook.run("def scaled(x): return x - factor")
    assert notebook.run(use) == "[-3, -2, -1]\n"


def test_classes_of_a_cell_go_and_come_back(notebook: Notebook) -> None:
    notebook.run(
        "class Point:\n    def __init__(self, x): self.x = x\n    def moved(self, by): return "
        "Point(self.x + by)"
    )
    notebook.run(
        "with dolambda.LambdaExecutor() as executor: moved = list(executor.map(Point.moved, "
        "[Point(1), Point(2)], [10, 20]))"
    )
    assert notebook.run("print([p.x for p in moved], type(moved[0]) is Point)") == "[11, 22] True\n"
    notebook.run("class Point(Point):\n    def moved(self, by): return 'new'")
    assert (
        notebook.run("print(joblib.Parallel(n_jobs=-1)([joblib.delayed(Point(1).moved)(1)] * 2))")
        == "['new', 'new']\n"
    )


def test_closures_lambdas_and_what_tasks_print(notebook: Notebook) -> None:
    notebook.run("def adder(n):\n    return lambda x: (print('adding', n), x + n)[1]")
    out = notebook.run(
        "with dolambda.LambdaExecutor() as executor: print(list(executor.map(adder(5), range(2))))"
    )
    assert "[5, 6]\n" in out
    assert "[task 0] adding 5\n" in out


def test_tracebacks_and_warnings_name_the_cell(notebook: Notebook) -> None:
    notebook.run("def helper(x):\n    return 1 / x  # the culprit")
    out = notebook.run(
        "import traceback\n"
        "with dolambda.LambdaExecutor() as executor:\n"
        "    error = executor.submit(helper, 0).exception()\n"
        "print(''.join(traceback.format_exception(error.__cause__)))\n"
    )
    assert re.search(r"^ *Cell In\[\d+\], line 2, in helper$", out, re.MULTILINE)
    assert "return 1 / x  # the culprit" in out
    assert "/dolambda/" not in out.partition("Cell In")[2]
    notebook.run("import warnings\ndef warn():\n    warnings.warn('odd')  # right here")
    out = notebook.run("with dolambda.LambdaExecutor() as executor: executor.submit(warn).result()")
    assert re.search(r"Cell In\[\d+\]:3: UserWarning: odd", out)
    assert "# right here" in out


def test_filters_that_name_ipythons_warnings_travel(notebook: Notebook) -> None:
    """scikit-learn sends `warnings.filters` with each function; IPython adds classes of its own."""
    out = notebook.run(
        "import warnings\n"
        "def use(filters):\n"
        "    return sorted(entry[2].__name__ for entry in filters)\n"
        "with dolambda.LambdaExecutor() as executor:\n"
        "    print(executor.submit(use, warnings.filters).result())\n"
    )
    assert "ProvisionalCompleterWarning" in out


def test_an_interrupt_cancels_what_was_running_and_the_session_goes_on(notebook: Notebook) -> None:
    cells = (
        "joblib.Parallel(n_jobs=2)(joblib.delayed(time.sleep)(20) for _ in range(4))",
        "with dolambda.LambdaExecutor() as executor: list(executor.map(time.sleep, [20] * 4))",
        "dolambda.foreach(i=range(4)).dopar(lambda i: time.sleep(20))",
    )
    for cell in cells:
        request = notebook.send(cell)
        time.sleep(1.5)  # the cell is at work
        notebook.manager.interrupt_kernel()
        *_, error = notebook.wait(request, 15)  # less than one of its tasks takes
        assert error == "KeyboardInterrupt"
        assert notebook.run(LEFT_WITHIN_10_S) == "[] 0\n"
    assert (
        notebook.run(
            "print(joblib.Parallel(n_jobs=-1)(joblib.delayed(len)('a' * i) for i in range(3)))"
        )
        == "[0, 1, 2]\n"
    )


def test_a_run_has_one_display_above_what_its_tasks_print(notebook: Notebook) -> None:
    notebook.shown.clear()
    request = notebook.send(
        "def work(x):\n    time.sleep(0.3)\n    print('printed', x)\n"
        "joblib.parallel_config('dolambda', progress=True).__enter__()\n"
        "joblib.Parallel(n_jobs=-1)(joblib.delayed(work)(x) for x in range(30));"
    )
    out, err, error = notebook.wait(request)
    notebook.run("joblib.parallel_config('dolambda', progress=False).__enter__()")
    assert not error
    assert err == ""
    assert out.count("printed") == 30
    displays = [content for kind, content in notebook.shown if kind == "display_data"]
    updates = [content for kind, content in notebook.shown if kind == "update_display_data"]
    assert len(displays) == 1
    identity = displays[0]["transient"]["display_id"]
    assert {content["transient"]["display_id"] for content in updates} == {identity}
    assert re.match(r"dolambda: \d+% \d+/30 tasks", displays[0]["data"]["text/plain"])
    assert updates[-1]["data"]["text/plain"].startswith("dolambda: 30 tasks in ")
    assert "would be $" in updates[-1]["data"]["text/plain"]
