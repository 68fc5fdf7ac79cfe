"""Connections of this user's own processes, told from those of everyone else on this machine.

**Input:** both ends of a TCP connection. **Output:** whether its other end is held by a process of
this user.

Only Linux lets one ask. Elsewhere every connection passes, and what protects is the signature of
each request.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"
_UID, _INODE = 7, 9  # columns
_MAPPED = "0000000000000000FFFF0000"  # an IPv4 address, as a socket of IPv6 has it
_LOOKS = 3  # the kernel's table is not read at one moment: a connection can be missed in it
_NO_PROCESS = "0"

Address = tuple[str, int]


def is_own(peer: Address, here: Address) -> bool:
    """Return whether the far end of an open connection belongs to a process of this user."""
    if sys.platform != "linux":
        return True
    return any(owner(peer, here) == os.geteuid() for _ in range(_LOOKS))


def owner(peer: Address, here: Address) -> int | None:
    """Return the user id of the process at the far end, None if there is no such open connection.

    An end that was closed has no process any more, and the kernel then says 0 for its user: root's
    processes would else take anyone who hangs up quickly for one of their own.
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

        Raises ConnectionAbortedError, which servers pass over, for one of another user.
        """
        connection, peer = super().accept()
        if not is_own(peer, connection.getsockname()):
            connection.close()
            raise ConnectionAbortedError("the connection is of another user")
        return connection, peer
