"""A server that ends connections without a word."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO


class Dropping:
    """Answers the first call on each connection, and ends the connection at the second,
    unanswered.
    """

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                connection, _ = self._socket.accept()
                with connection, connection.makefile("rb") as reader:
                    self._serve(connection, reader)

    def _serve(self, connection: socket.socket, reader: BinaryIO) -> None:
        for number in range(2):
            length = 0
            while (line := reader.readline()).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.payloads.append(reader.read(length))
            if number == 0:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
