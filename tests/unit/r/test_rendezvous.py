"""How an R session and its bridge find and trust each other."""

from __future__ import annotations

import socket
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from dolambda.errors import ConfigurationError
from dolambda.r.rendezvous import ADDRESS, meet
from support.polling import until

if TYPE_CHECKING:
    from pathlib import Path


class Meeting:
    """A bridge that waits to be met, in a thread."""

    def __init__(self, directory: Path, seconds: float = 30) -> None:
        self.connection: socket.socket | None = None
        self.error: Exception | None = None
        self._place = directory / ADDRESS
        self._thread = threading.Thread(target=self._meet, args=(directory, seconds), daemon=True)
        self._thread.start()

    def _meet(self, directory: Path, seconds: float) -> None:
        try:
            self.connection = meet(directory, seconds=seconds)
        except Exception as error:  # noqa: BLE001 - it is the test's to look at
            self.error = error

    def address(self) -> tuple[int, str, str]:
        until(self._place.exists)
        port, theirs, ours = self._place.read_text().split()
        return int(port), theirs, ours

    def end(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "met"
    place.mkdir(mode=0o700)
    return place


def connected(port: int, said: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(said.encode())
    return client


def test_each_side_shows_its_token_before_anything_else(directory: Path) -> None:
    meeting = Meeting(directory)
    port, theirs, ours = meeting.address()
    assert theirs != ours
    with connected(port, theirs) as client:
        assert client.recv(100).decode() == ours
        meeting.end()
    assert meeting.connection is not None
    meeting.connection.close()


def test_the_tokens_are_for_this_user_alone_and_gone_once_used(directory: Path) -> None:
    meeting = Meeting(directory)
    port, theirs, _ = meeting.address()
    assert stat.S_IMODE((directory / ADDRESS).stat().st_mode) == 0o600
    with connected(port, theirs):
        meeting.end()
    assert list(directory.iterdir()) == []
    assert meeting.connection is not None
    meeting.connection.close()


def test_it_listens_on_the_loopback_interface_alone(directory: Path) -> None:
    meeting = Meeting(directory)
    port, theirs, _ = meeting.address()
    with connected(port, theirs) as client:
        meeting.end()
        assert client.getpeername()[0] == "127.0.0.1"
    assert meeting.connection is not None
    assert meeting.connection.getsockname()[0] == "127.0.0.1"
    meeting.connection.close()


@pytest.mark.parametrize("said", ["", "short", "x" * 32, "0" * 64], ids=len)
def test_who_does_not_know_the_token_is_told_nothing_and_the_wait_goes_on(
    directory: Path, said: str
) -> None:
    meeting = Meeting(directory)
    port, theirs, ours = meeting.address()
    with connected(port, said) as stranger:
        with suppress(OSError):  # it may have been refused already
            stranger.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):  # that is how a close with unread bytes is seen
            assert stranger.recv(100) == b""
    with connected(port, theirs) as client:
        assert client.recv(100).decode() == ours
        meeting.end()
    assert meeting.connection is not None
    meeting.connection.close()


def test_a_silent_stranger_does_not_keep_r_out(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.r.rendezvous._TOKEN_WITHIN_S", 0.3)
    meeting = Meeting(directory, seconds=60)
    port, theirs, ours = meeting.address()
    with connected(port, ""), connected(port, theirs) as client:
        client.settimeout(60)
        assert client.recv(100).decode() == ours
    meeting.end()
    assert meeting.connection is not None
    meeting.connection.close()


def test_the_wait_has_an_end(directory: Path) -> None:
    meeting = Meeting(directory, seconds=0.1)
    meeting.end()
    assert isinstance(meeting.error, TimeoutError)
    assert list(directory.iterdir()) == []


def test_a_directory_that_others_can_read_is_refused(directory: Path) -> None:
    directory.chmod(0o755)
    with pytest.raises(ConfigurationError, match="other users"):
        meet(directory, seconds=1)
