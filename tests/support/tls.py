"""A network that inspects TLS: a certificate authority of its own, and servers that it signs
for.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BYTES = 1 << 16


@dataclass(frozen=True)
class Authority:
    """Files: its own certificate, and one that it has signed, with the key in it."""

    certificate: Path
    server: Path

    @classmethod
    def made_in(cls, folder: Path, *names: str) -> Authority:
        """Make an authority with `openssl`, and a server's certificate for these names."""
        made = cls(folder / "ca.pem", folder / "server.pem")
        key, ca_key, asked = folder / "server.key", folder / "ca.key", folder / "server.csr"
        extensions = folder / "names.txt"
        kinds = ("IP" if name.replace(".", "").isdigit() else "DNS" for name in names)
        listed = ",".join(f"{kind}:{name}" for kind, name in zip(kinds, names, strict=True))
        extensions.write_text(f"subjectAltName={listed}\n")
        new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout"]
        _run(*new, ca_key, "-x509", "-days", "2", "-subj", "/CN=private", "-out", made.certificate)
        _run(*new, key, "-subj", "/CN=server", "-out", asked)
        signed = ["-CA", made.certificate, "-CAkey", ca_key, "-CAcreateserial"]
        sign = ["openssl", "x509", "-req", "-in", asked, *signed, "-extfile", extensions]
        _run(*sign, "-days", "2", "-out", made.server)
        made.server.write_bytes(made.server.read_bytes() + key.read_bytes())
        return made

    def context(self) -> ssl.SSLContext:
        """Return what a server needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        return context


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


class Relay:
    """Takes TLS, and passes on what is in it to a plain server; a proxy too, if it is asked as
    one.
    """

    def __init__(
        self,
        authority: Authority,
        port: int,
        *,
        proxy: bool = False,
        bytes_per_s: float = float("inf"),
    ) -> None:
        """``port`` is the plain server's, on this machine. A proxy leads everywhere to it. The
        line takes no more than so many bytes a second towards the server.
        """
        self.asked: list[str] = []
        """Hosts that a proxy was asked to connect to."""
        self.connections = 0
        """Connections on which a client trusted the server."""
        self._context, self._to, self._proxy = authority.context(), port, proxy
        self._bytes_per_s = bytes_per_s
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._connected, args=(connection,), daemon=True).start()

    def _connected(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._proxy:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += connection.recv(1)
                self.asked.append(head.split()[1].decode())
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with (
                self._context.wrap_socket(connection, server_side=True) as outside,
                socket.create_connection(("127.0.0.1", self._to)) as inside,
            ):
                self.connections += 1
                back = threading.Thread(target=_copy, args=(inside, outside), daemon=True)
                back.start()
                _copy(outside, inside, self._bytes_per_s)
                back.join()


def _copy(source: socket.socket, target: socket.socket, bytes_per_s: float = float("inf")) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_BYTES):
            time.sleep(len(data) / bytes_per_s)
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
