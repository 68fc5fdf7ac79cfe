"""The checksum of an object that is written.

S3 demands one where Object Lock retains the bucket's objects by default: "Content-MD5 OR
x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters". The
digest in the signature is none.
"""

from __future__ import annotations

import binascii


def checksum(data: bytes) -> dict[str, str]:
    """Return the header with the checksum of an object's content."""
    crc = binascii.crc32(data).to_bytes(4, "big")
    return {"x-amz-checksum-crc32": binascii.b2a_base64(crc, newline=False).decode()}
