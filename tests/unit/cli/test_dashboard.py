"""`dolambda dashboard` as a program: where the token is, and how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from support import programs
from support.polling import until
from support.terminal import on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = ("-m", "dolambda", "dashboard")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/opened\n')
    browser.chmod(0o700)
    return {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "BROWSER": str(browser),
    }


def started(environment: dict[str, str], *options: str) -> tuple[programs.Program, str]:
    """Start it; return its process and the line that it prints."""
    process = programs.start(
        *COMMAND, *options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    assert process.stdout
    return process, process.stdout.readline()


@pytest.fixture
def running(environment: dict[str, str]) -> Iterator[tuple[programs.Program, Path]]:
    process, line = started(environment)
    found = re.search(r"open (file://\S+\.html)", line)
    assert found, line
    yield process, Path(urlsplit(found[1]).path)
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def test_only_the_owner_reads_the_file_with_the_link(
    running: tuple[programs.Program, Path],
) -> None:
    file = running[1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    link = re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{40,}", file.read_text())
    assert link
    with urllib.request.urlopen(link[0], timeout=30) as answer:  # noqa: S310 - our own
        assert answer.status == 200


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_removes_the_file(
    running: tuple[programs.Program, Path], how: signal.Signals
) -> None:
    process, file = running
    process.send_signal(how)
    assert process.wait(30) == 0
    assert process.stdout
    assert process.stdout.read() == ""
    assert not file.exists()


def test_signals_that_follow_the_first_do_not_interrupt_the_removal(
    running: tuple[programs.Program, Path],
) -> None:
    process, file = running
    while process.poll() is None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                process.send_signal(number)
    assert not file.exists()
    assert process.stdout
    assert "Traceback" not in process.stdout.read()


def test_the_browser_gets_a_file_and_not_the_token(
    environment: dict[str, str], tmp_path: Path
) -> None:
    process, line = started(environment, "--open", "--idle", "0.02")
    assert process.wait(60) == 0
    assert process.stdout
    with process.stdout as written:
        said = written.read()
    assert "opened in your browser" in line
    assert "no page was requested for 1.2 s: the dashboard has ended" in said
    opened = tmp_path / "opened"
    until(lambda: opened.exists() and opened.read_text().endswith("\n"))
    arguments = opened.read_text()
    assert arguments.startswith("file://")
    assert "token" not in arguments + line + said


def test_a_person_at_a_terminal_sees_the_link(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    status, text = on_terminal([*COMMAND, "--idle", "0.01"], {})
    assert status == 0
    assert re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{40,}", text)


def test_a_port_that_is_taken_is_said(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = programs.run(*COMMAND, "--port", str(port), env=environment)
    assert done.returncode == 1
    assert f"--port {port} cannot be used: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
