"""The one container in which jobs and replies travel: sealed and opened.

    magic | HMAC-SHA256 over all that follows | header length | header (JSON) | body
    4     | 32 bytes                          | 4 bytes       |

The signature precedes the header instead of being part of it. So it covers every byte after itself,
and no canonical JSON is needed. It is checked before the header is parsed, and nothing in this
module unpickles: write access to the bucket must not become code execution on a worker or on a
user's machine. The header names its kind ("job", "reply"), so that neither can pass for the other.

A body of some kilobytes is deflated if a sample of it shrinks much: the arguments of a job's tasks
are often nearly the same.

**Input:** a header of plain values and the parts of the body. **Output:** bytes. Opened, the body
is a view of these bytes.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

from dolambda.errors import EnvelopeError, FormatError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FORMAT = 2
_MAGIC = b"dlb2"
_MAGIC_1 = b"dlb1"  # of format 1
_LENGTH = struct.Struct(">I")
_SIGNATURE_END = len(_MAGIC) + hashlib.sha256().digest_size
_PREFIX_END = _SIGNATURE_END + _LENGTH.size

# Sizes of bodies that are deflated: smaller ones gain nothing, larger ones take longer to deflate
# than to send.
_DEFLATED = range(2 * 1024, 4 * 1024 * 1024)
_SAMPLES, _SAMPLE = 16, 1024
# Bytes of a body up to which copying it costs less than signing it part by part.
_JOINED = 1 << 20
_PROMISING = 0.7

_SENSELESS = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,  # JSON nested a thousand levels deep
    zlib.error,
)

Header = dict[str, Any]

_encode = json.JSONEncoder(
    separators=(",", ":")
).encode  # json.dumps would create another encoder each time
_decode: Callable[[str], tuple[Header, int]] = json.JSONDecoder().raw_decode


def encoded(header: Header) -> str:
    """Return a part of a header for `seal`."""
    return _encode(header)


def seal(
    kind: str, header: Header, body: Iterable[bytes | memoryview], key: bytes, common: str = "{}"
) -> bytes:
    """Return a header and the parts of a body, joined and signed with ``key``.

    ``common`` is another part of the header, which is encoded once for many envelopes.
    """
    plain = list(body)
    nbytes = sum(map(len, plain))
    sent = plain
    if nbytes in _DEFLATED and _promising(plain):
        sent, header = _deflated(plain), {**header, "deflated": nbytes}
    members = (common[1:-1], _encode(header)[1:-1], f'"kind":"{kind}","format":{FORMAT}')
    head = f"{{{','.join(filter(None, members))}}}".encode()
    parts = [_LENGTH.pack(len(head)), head, *sent]
    if nbytes > _JOINED:
        return b"".join([_MAGIC, _signature(key, *parts), *parts])
    signed = b"".join(parts)
    return b"".join([_MAGIC, _signature(key, signed), signed])


class making_sense:  # noqa: N801 - used like a function
    """Context in which a malformed header that is correctly signed raises `EnvelopeError`.

    It is a class because a context manager of contextlib takes three times as long, and every reply
    is read in it.
    """

    __slots__ = ("_kind",)

    def __init__(self, kind: str) -> None:
        """Read a header of this kind."""
        self._kind = kind

    def __enter__(self) -> None:
        """Enter the context."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Replace an exception that a malformed header caused by `EnvelopeError`."""
        if isinstance(error, _SENSELESS):
            raise EnvelopeError(
                f"a signed {self._kind} with a malformed header ({error!r})",
                hint="Client and stack differ in version: run `dolambda deploy` with this client.",
            ) from error


def unseal(kind: str, data: bytes | memoryview, key: bytes) -> tuple[Header, memoryview]:
    """Check the signature, then the header.

    Args:
        kind: "job", "reply" or another kind that is expected.
        data: The sealed bytes.
        key: The key that they must be signed with.

    Returns:
        The header, and a view of the body.

    Raises:
        EnvelopeError: The bytes are not an envelope of this kind.
        SignatureError: They are not signed with ``key``.
        FormatError: They have another format.
    """
    view = memoryview(data)
    magic = bytes(view[: len(_MAGIC)])
    if magic == _MAGIC_1:
        raise _other_format(kind, 1)
    if magic != _MAGIC or len(view) < _PREFIX_END:
        raise EnvelopeError(
            f"{len(view):,} bytes that are not a {kind} of dolambda",
            hint="Something else wrote this object; nothing in it was read.",
        )
    if not _signed(view, key):
        raise SignatureError(
            f"a {kind} that is not signed with this stack's key",
            hint="It was altered, or comes from another stack, or from a session older than a "
            "`dolambda rotate-key`: call register() "
            "again, or open a new session. It was not unpickled.",
        )
    (length,) = _LENGTH.unpack_from(view, _SIGNATURE_END)
    header = _header(view[_PREFIX_END : _PREFIX_END + length])
    if header["format"] != FORMAT:
        raise _other_format(kind, header["format"])
    if header["kind"] != kind:
        raise SignatureError(
            f"a {header['kind']} in the place of a {kind}",
            hint="A signed object was copied to another place. It was not unpickled.",
        )
    body = view[_PREFIX_END + length :]
    nbytes = header.pop("deflated", None)
    return header, body if nbytes is None else _inflated(body, nbytes)


def _inflated(body: memoryview, nbytes: int) -> memoryview:
    if nbytes not in _DEFLATED:  # so that no more is allocated
        raise ValueError(f"a deflated body of {nbytes} bytes")
    plain = zlib.decompressobj().decompress(body, nbytes + 1)
    if len(plain) != nbytes:
        raise ValueError(f"a body whose size is not {nbytes} bytes")
    return memoryview(plain)


def plain(header: Header, body: Iterable[bytes | memoryview]) -> list[bytes | memoryview]:
    """Return the parts of an envelope without signature, for a process of one's own."""
    head = _encode(header).encode()
    return [_LENGTH.pack(len(head)), head, *body]


def from_plain(data: bytes | memoryview) -> tuple[Header, memoryview]:
    """Return header and body of the joined parts that `plain` returned."""
    view = memoryview(data)
    (length,) = _LENGTH.unpack(view[: _LENGTH.size])
    end = _LENGTH.size + length
    return _header(view[_LENGTH.size : end]), view[end:]


def _header(data: memoryview) -> Header:
    text = str(data, "utf-8")
    header, end = _decode(text)  # json.loads would also look for white space around it
    if end != len(text):
        raise ValueError("a header with something behind it")
    return header


def readable_by_format_1(sealed: bytes) -> bytes:
    """Return an envelope that a client of format 1 refuses because of its format.

    With another magic such a client would report that something else wrote the object. The
    signature does not cover the magic. It is checked before the header, which names this format.
    """
    return _MAGIC_1 + sealed[len(_MAGIC) :]


def _other_format(kind: str, found: object) -> FormatError:
    return FormatError(
        f"a {kind} of format {found}; this dolambda reads format {FORMAT}",
        hint="Client and stack differ in version: run `dolambda deploy` with this client, "
        "or call register() again with the dolambda that deployed the stack.",
    )


def key_of(data: bytes | memoryview, keys: Sequence[bytes]) -> bytes:
    """Return the one of ``keys`` that ``data`` is signed with, without parsing anything.

    If it is signed with none of them, return the first: `unseal` then refuses the data.
    """
    if len(keys) == 1:  # no choice, and hashing a large job takes time
        return keys[0]
    view = memoryview(data)
    return next((key for key in keys if _signed(view, key)), keys[0])


def _signed(view: memoryview, key: bytes) -> bool:
    signature = _signature(key, view[_SIGNATURE_END:])
    return hmac.compare_digest(signature, view[len(_MAGIC) : _SIGNATURE_END])


def _signature(key: bytes, *parts: bytes | memoryview) -> bytes:
    """Return the HMAC-SHA256 of some parts, one after the other.

    `hmac.digest` takes a third longer for the few hundred bytes of a small job, and lets another
    thread run meanwhile, for which this one then waits.
    """
    signature = _keyed(key).copy()
    for part in parts:
        signature.update(part)
    return signature.digest()


@functools.lru_cache(maxsize=4)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _deflated(parts: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    packer = zlib.compressobj(1)
    return [*map(packer.compress, parts), packer.flush()]


def _promising(parts: Sequence[bytes | memoryview]) -> bool:
    """Return whether the beginnings of some parts shrink much."""
    some = b"".join(bytes(part[:_SAMPLE]) for part in parts[:: max(1, len(parts) // _SAMPLES)])
    return len(zlib.compress(some, 1)) < _PROMISING * len(some)
