"""Whose connection it is, asked of the kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from dolambda.local.emulator.peers import OwnConnections, is_own, owner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the user")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
NOBODY = 65534


@pytest.fixture
def listening() -> socket.socket:
    made = OwnConnections()
    made.bind(("127.0.0.1", 0))
    made.listen()
    return made


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_of_this_user(family: socket.AddressFamily, listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    with listening, socket.socket(family) as client:
        client.connect(
            ("127.0.0.1", port) if family == socket.AF_INET else ("::ffff:127.0.0.1", port)
        )
        accepted, peer = listening.accept()
        with accepted:
            assert owner(peer, accepted.getsockname()) == os.geteuid()
            assert is_own(peer, accepted.getsockname())


def test_an_end_that_was_closed_belongs_to_nobody() -> None:
    """Not to root, whose number the kernel then gives."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        client.sendall(b"a request")
        client.close()
        accepted, peer = server.accept()
        with accepted:
            assert owner(peer, accepted.getsockname()) is None
            assert not is_own(peer, accepted.getsockname())


@as_root
def test_a_connection_of_another_user_is_hung_up_on(listening: socket.socket) -> None:
    script = f"""
import os, socket
os.setgid({NOBODY}); os.setuid({NOBODY})
client = socket.socket()
client.connect({listening.getsockname()!r})
print("connected", flush=True)
try:
    print(client.recv(1))
except ConnectionResetError:
    print(b"")
"""
    with (
        listening,
        subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        ) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == "connected\n"
        listening.settimeout(60)
        with pytest.raises(ConnectionAbortedError):
            listening.accept()
        assert other.stdout.readline() == "b''\n"
