"""Connections of this user's own processes, separated from all others on this machine.

**Input:** both ends of a TCP connection. **Output:** whether a process of this user holds the other
end.

Only Linux provides this information. Elsewhere every connection passes, and the signature of each
request is the protection.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"
_UID, _INODE = 7, 9  # columns
_MAPPED = "0000000000000000FFFF0000"  # an IPv4 address in the form of an IPv6 socket
_LOOKS = 3  # the kernel's table is not read atomically: a connection can be missed in it
_NO_PROCESS = "0"

Address = tuple[str, int]


def is_own(peer: Address, here: Address) -> bool:
    """Return whether the far end of an open connection belongs to a process of this user."""
    if sys.platform != "linux":
        return True
    return any(owner(peer, here) == os.geteuid() for _ in range(_LOOKS))


def owner(peer: Address, here: Address) -> int | None:
    """Return the user id of the process at the far end, or None without such an open connection.

    A closed end has no process any more, and the kernel then reports user 0. Processes of root
    would otherwise take anyone who hangs up quickly for one of their own.
    """
    ends = f"{_hexadecimal(peer)} {_hexadecimal(here)} {_ESTABLISHED} "
    mapped = f"{_MAPPED}{_hexadecimal(peer)} {_MAPPED}{_hexadecimal(here)} {_ESTABLISHED} "
    for table, wanted in zip(_TABLES, (ends, mapped), strict=True):
        try:
            text = table.read_text(encoding="ascii")
        except OSError:
            continue
        at = text.find(f": {wanted}")
        if at >= 0:
            columns = text[text.rfind("\n", 0, at) + 1 : text.find("\n", at)].split()
            return int(columns[_UID]) if columns[_INODE] != _NO_PROCESS else None
    return None


def _hexadecimal(address: Address) -> str:
    number = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
    return f"{number:08X}:{address[1]:04X}"


class OwnConnections(socket.socket):
    """A listening socket that hangs up on processes of other users."""

    def accept(self) -> tuple[socket.socket, Address]:
        """Accept a connection.

        Raises:
            ConnectionAbortedError: It is from another user. Servers ignore this error.
        """
        connection, peer = super().accept()
        if not is_own(peer, connection.getsockname()):
            connection.close()
            raise ConnectionAbortedError("the connection is from another user")
        return connection, peer
