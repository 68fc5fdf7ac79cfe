"""Seal and open the one container that jobs and replies travel in.

    magic | HMAC-SHA256 over all that follows | header length | header (JSON) | body
    4     | 32 bytes                          | 4 bytes       |

The signature stands before the header, not in it, so that it covers every byte after itself with no
need of a canonical JSON. It is checked before the header is even parsed, and nothing here
unpickles: write access to the bucket must not become code execution on a worker or on a user's
machine. The header names its kind ("job", "reply"), so that neither can be passed off as the other.

A body of some kilobytes is deflated if a sample of it promises much: the arguments of a job's tasks
are often nearly the same.

On entry: a header of plain values and the body's parts. On leaving: bytes; and back, the body as a
view into them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

from dolambda.errors import EnvelopeError, FormatError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMAT = 2
_MAGIC = b"dlb2"
_MAGIC_1 = b"dlb1"  # of format 1
_LENGTH = struct.Struct(">I")
_SIGNATURE_END = len(_MAGIC) + hashlib.sha256().digest_size
_PREFIX_END = _SIGNATURE_END + _LENGTH.size

# Bytes of a body: less gains nothing, more takes longer than to send it.
_DEFLATED = range(2 * 1024, 4 * 1024 * 1024)
_SAMPLES, _SAMPLE = 16, 1024
# Bytes of a body up to which a copy of it costs less than signing it part by part.
_JOINED = 1 << 20
_PROMISING = 0.7

_SENSELESS = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,  # JSON nested a thousand times
    zlib.error,
)
_encode = json.JSONEncoder(
    separators=(",", ":")
).encode  # json.dumps would make another encoder each time

Header = dict[str, Any]


def seal(kind: str, header: Header, body: Iterable[bytes | memoryview], key: bytes) -> bytes:
    """Sign and join a header and the parts of a body."""
    plain = list(body)
    nbytes = sum(map(len, plain))
    sent = _deflated(plain) if nbytes in _DEFLATED and _promising(plain) else plain
    more = (
        {"kind": kind, "format": FORMAT}
        if sent is plain
        else {"kind": kind, "format": FORMAT, "deflated": nbytes}
    )
    head = _encode({**header, **more}).encode()
    parts = [_LENGTH.pack(len(head)), head, *sent]
    if nbytes > _JOINED:
        signature = hmac.new(key, digestmod="sha256")
        for part in parts:
            signature.update(part)
        return b"".join([_MAGIC, signature.digest(), *parts])
    signed = b"".join(parts)
    return b"".join([_MAGIC, hmac.digest(key, signed, "sha256"), signed])


class making_sense:  # noqa: N801 - used as a function is
    """Makes an `EnvelopeError` of what goes wrong in reading a header that is signed but not as it should be.

    A class, as contextlib's way takes three times as long, and each reply comes by here.
    """

    __slots__ = ("_kind",)

    def __init__(self, kind: str) -> None:
        """``kind`` is what should be read."""
        self._kind = kind

    def __enter__(self) -> None:
        """Begin to read."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise `EnvelopeError` in the place of what such a header may cause."""
        if isinstance(error, _SENSELESS):
            raise EnvelopeError(
                f"a signed {self._kind} that makes no sense ({error!r})",
                hint="Client and stack differ in version: run `dolambda deploy` with this client.",
            ) from error


def unseal(kind: str, data: bytes | memoryview, key: bytes) -> tuple[Header, memoryview]:
    """Check the signature, then the header; give the header and a view of the body.

    Raises `EnvelopeError` for bytes that are not ours, `SignatureError` for ones not signed with
    ``key``, `FormatError` for ones of another format.
    """
    view = memoryview(data)
    if view[: len(_MAGIC)] == _MAGIC_1:
        raise _other_format(kind, 1)
    if view[: len(_MAGIC)] != _MAGIC or len(view) < _PREFIX_END:
        raise EnvelopeError(
            f"{len(view)} bytes that are no {kind} of dolambda's",
            hint="Something else wrote this object; nothing in it was read.",
        )
    if not _signed(view, key):
        raise SignatureError(
            f"a {kind} that is not signed with this stack's key",
            hint="It was altered, or comes from another stack, or from a session older than a "
            "`dolambda rotate-key`: call register() "
            "again, or open a new session. It was not unpickled.",
        )
    (length,) = _LENGTH.unpack(view[_SIGNATURE_END:_PREFIX_END])
    header: Header = json.loads(str(view[_PREFIX_END : _PREFIX_END + length], "utf-8"))
    if header["format"] != FORMAT:
        raise _other_format(kind, header["format"])
    if header["kind"] != kind:
        raise SignatureError(
            f"a {header['kind']} where a {kind} belongs",
            hint="A signed object was copied to another place. It was not unpickled.",
        )
    body = view[_PREFIX_END + length :]
    nbytes = header.pop("deflated", None)
    if nbytes is None:
        return header, body
    if nbytes not in _DEFLATED:  # it would be allocated
        raise ValueError(f"{nbytes} bytes that were deflated")
    plain = zlib.decompressobj().decompress(body, nbytes + 1)
    if len(plain) != nbytes:
        raise ValueError(f"a body of {nbytes} bytes that has more or fewer")
    return header, memoryview(plain)


def readable_by_format_1(sealed: bytes) -> bytes:
    """Return an envelope that a client of format 1 refuses because of its format.

    It would say of another magic that something else wrote the object. The signature does not
    cover the magic, and is checked before the header, which names this format.
    """
    return _MAGIC_1 + sealed[len(_MAGIC) :]


def _other_format(kind: str, found: object) -> FormatError:
    return FormatError(
        f"a {kind} of format {found}; this dolambda reads format {FORMAT}",
        hint="Client and stack differ in version: run `dolambda deploy` with this client, "
        "or call register() again with the dolambda that deployed the stack.",
    )


def key_of(data: bytes | memoryview, keys: Sequence[bytes]) -> bytes:
    """The one of ``keys`` that ``data`` is signed with; the first if it is none of them, for `unseal` to refuse.

    Parses nothing.
    """
    if len(keys) == 1:  # nothing to choose: hashing a large job takes its time
        return keys[0]
    view = memoryview(data)
    return next((key for key in keys if _signed(view, key)), keys[0])


def _signed(view: memoryview, key: bytes) -> bool:
    signature = hmac.digest(key, view[_SIGNATURE_END:], "sha256")
    return hmac.compare_digest(signature, view[len(_MAGIC) : _SIGNATURE_END])


def _deflated(parts: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    packer = zlib.compressobj(1)
    return [*map(packer.compress, parts), packer.flush()]


def _promising(parts: Sequence[bytes | memoryview]) -> bool:
    """Whether the beginnings of some of the parts become much smaller."""
    some = b"".join(bytes(part[:_SAMPLE]) for part in parts[:: max(1, len(parts) // _SAMPLES)])
    return len(zlib.compress(some, 1)) < _PROMISING * len(some)
