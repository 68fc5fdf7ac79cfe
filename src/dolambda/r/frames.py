"""Frames between an R session and its bridge.

**Input:** a connected socket. **Output:** frames, each a kind, the number of a loop and bytes.

    kind (int32)  loop (int32)  length (double)  bytes          all big-endian

R has no 64-bit integers, so a length is a double. Texts are joined by `SEPARATOR`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Self

from dolambda.errors import EnvelopeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SEPARATOR = "\x1e"
"""Separator of the texts in a frame: ASCII's record separator, which is replaced in the texts."""

STALL_S = 60.0
"""Seconds without a byte in the middle of a frame after which R is considered to hang."""

_HEADER = struct.Struct(">iid")
_LONGEST = 1 << 46
_READ = 1 << 20


class Kind(IntEnum):
    """Kinds of frames. Those up to 100 come from R, those from 101 on go to R."""

    REGISTER = 1
    LOOP = 2
    PART = 3
    FUNCTION = 4
    TASKS = 5
    SKIP = 6
    CLOSE = 7
    CANCEL = 8
    REPORT = 9
    READY = 101
    ERROR = 102
    RESULTS = 103
    OUTPUT = 104
    PROGRESS = 105
    TICK = 106
    CANCELLED = 107
    REPORTED = 108
    NOTICE = 109


@dataclass(frozen=True, slots=True)
class Frame:
    """One message."""

    kind: int
    loop: int
    data: bytearray = field(repr=False)

    def texts(self) -> list[str]:
        """Return the data as a list of texts."""
        return self.data.decode(errors="replace").split(SEPARATOR) if self.data else []

    def fields(self) -> dict[str, str]:
        """Return the data as alternating names and values."""
        texts = self.texts()
        return dict(zip(texts[::2], texts[1::2], strict=True))


class Channel:
    """A socket that carries frames. One thread receives, any thread sends."""

    def __init__(self, connection: socket.socket) -> None:
        """Create a channel. ``connection`` has passed the exchange of tokens."""
        self._socket = connection
        # Without a time limit: R may be busy for hours.
        self._out = connection.dup()
        self._out.settimeout(None)
        self._sending = threading.Lock()

    def receive(self) -> Frame | None:
        """Wait for a frame. Return None at the end of the stream.

        An idle R session may send nothing for days, so the wait for a frame's first byte has no
        limit: it ends when R does.

        Raises:
            TimeoutError: The rest of a frame did not arrive.
        """
        self._socket.settimeout(None)
        first = self._socket.recv(1)
        if not first:
            return None
        self._socket.settimeout(STALL_S)
        head = self._read(_HEADER.size - 1)
        if head is None:
            return None
        kind, loop, length = _HEADER.unpack(first + bytes(head))
        if not 0 <= length < _LONGEST or length != int(length):
            raise EnvelopeError(
                f"a frame of {length} bytes came from R", hint="Register again: registerDoLambda()."
            )
        data = self._read(int(length))
        return None if data is None else Frame(kind, loop, data)

    def _read(self, length: int) -> bytearray | None:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = self._socket.recv_into(view, min(len(view), _READ))
            if not count:
                return None
            view = view[count:]
        return data

    def send(self, kind: Kind, loop: int, *parts: bytes | bytearray | memoryview) -> None:
        """Send a frame. Raises OSError if R has ended."""
        head = _HEADER.pack(kind, loop, float(sum(map(len, parts))))
        small = sum(map(len, parts)) < _READ
        with self._sending:
            for piece in [b"".join((head, *parts))] if small else [head, *parts]:
                self._out.sendall(piece)

    def send_texts(self, kind: Kind, loop: int, texts: Iterable[str]) -> None:
        """Send a frame of texts."""
        clean = (text.replace(SEPARATOR, " ").replace("\0", " ") for text in texts)
        self.send(kind, loop, SEPARATOR.join(clean).encode(errors="replace"))

    def send_fields(self, kind: Kind, loop: int, fields: Mapping[str, object]) -> None:
        """Send a frame of names and values."""
        self.send_texts(kind, loop, (str(text) for pair in fields.items() for text in pair))

    def __enter__(self) -> Self:
        """Return the channel itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the channel."""
        self.close()

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._out.close()
