"""Seal and open the one container that jobs and replies travel in.

    magic | HMAC-SHA256 over all that follows | header length | header (JSON) | body
    4     | 32 bytes                          | 4 bytes       |

The signature stands before the header, not in it, so that it covers every byte after itself with no need of a canonical
JSON. It is checked before the header is even parsed, and nothing here unpickles: write access to the bucket must not
become code execution on a worker or on a user's machine. The header names its kind ("job", "reply"), so that neither
can be passed off as the other.

On entry: a header of plain values and the body's parts. On leaving: bytes; and back, the body as a view into them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from typing import TYPE_CHECKING, Any

from dolambda.errors import EnvelopeError, FormatError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
_MAGIC = b"dlb1"
_LENGTH = struct.Struct(">I")
_SIGNATURE_END = len(_MAGIC) + hashlib.sha256().digest_size
_PREFIX_END = _SIGNATURE_END + _LENGTH.size

Header = dict[str, Any]


def seal(kind: str, header: Header, body: Iterable[bytes | memoryview], key: bytes) -> bytes:
    """Sign and join a header and the parts of a body."""
    head = json.dumps({**header, "kind": kind, "format": FORMAT}, separators=(",", ":")).encode()
    parts = [_LENGTH.pack(len(head)), head, *body]
    signature = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        signature.update(part)
    return b"".join([_MAGIC, signature.digest(), *parts])


def unseal(kind: str, data: bytes | memoryview, key: bytes) -> tuple[Header, memoryview]:
    """Check the signature, then the header; give the header and a view of the body.

    Raises `EnvelopeError` for bytes that are not ours, `SignatureError` for ones not signed with ``key``, `FormatError`
    for ones of another format.
    """
    view = memoryview(data)
    if view[: len(_MAGIC)] != _MAGIC or len(view) < _PREFIX_END:
        msg = f"{len(view)} bytes that are no {kind} of dolambda's"
        raise EnvelopeError(msg, mend="Something else wrote this object; nothing in it was read.")
    signature = hmac.new(key, view[_SIGNATURE_END:], hashlib.sha256).digest()
    if not hmac.compare_digest(signature, view[len(_MAGIC) : _SIGNATURE_END]):
        msg = f"a {kind} that is not signed with this stack's key"
        raise SignatureError(
            msg,
            mend="It was altered, or written by a client of another stack or of an older key. It was not unpickled.",
        )
    (length,) = _LENGTH.unpack(view[_SIGNATURE_END:_PREFIX_END])
    header: Header = json.loads(bytes(view[_PREFIX_END : _PREFIX_END + length]))
    if header["format"] != FORMAT:
        msg = f"a {kind} of format {header['format']}; this dolambda reads format {FORMAT}"
        raise FormatError(msg, mend="Client and stack differ in version: run `dolambda deploy` with this client.")
    if header["kind"] != kind:
        msg = f"a {header['kind']} where a {kind} belongs"
        raise SignatureError(msg, mend="A signed object was copied to another place. It was not unpickled.")
    return header, view[_PREFIX_END + length :]
