"""S3: objects, conditional writes, lists.

On entry: requests, as S3 defines them; on leaving: answers, and word of new objects.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, unescape

from support.simulated_aws.http import Answer, Request

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

_PAGE = 1000
_XML = ("Content-Type: application/xml",)
_TAG = ('ETag: "simulated"', "Last-Modified: Sun, 22 Nov 2026 00:00:00 GMT")


@dataclass
class Store:
    """One bucket. ``created`` hears of each object that a request has put."""

    counts: Counter[str]
    created: Callable[[str], None]
    objects: dict[str, bytes] = field(default_factory=dict)
    _keys: list[str] = field(default_factory=list)

    def put(self, key: str, data: bytes) -> None:
        if key not in self.objects:
            bisect.insort(self._keys, key)
        self.objects[key] = data

    def delete(self, key: str) -> None:
        if self.objects.pop(key, None) is not None:
            del self._keys[bisect.bisect_left(self._keys, key)]

    def answer(self, request: Request, key: str) -> Answer:
        """Give S3's answer to a request for a key, or for the bucket where there is none."""
        if not key:
            if request.verb == "GET":
                return self._list(request.query)
            if request.verb == "POST" and "delete" in request.query:
                return self._delete_many(request.body)
            return Answer(200)
        answer: Answer = getattr(self, f"_{request.verb.lower()}")(request, key)
        return answer

    def _put(self, request: Request, key: str) -> Answer:
        self.counts["s3:PutObject"] += 1
        if request.header(b"if-none-match") and key in self.objects:
            return Answer(412, _error("PreconditionFailed", "It is there already."), _XML)
        self.put(key, request.body)
        self.created(key)
        return Answer(200, b"", _TAG)

    def _get(self, request: Request, key: str) -> Answer:
        self.counts["s3:GetObject"] += 1
        data = self.objects.get(key)
        if data is None:
            return Answer(404, _error("NoSuchKey", "There is no such key."), _XML)
        wanted = request.header(b"range")
        if wanted:
            first, last = wanted.removeprefix(b"bytes=").split(b"-")
            part = data[int(first) : int(last) + 1 if last else None]
            return Answer(
                206,
                part,
                (
                    *_TAG,
                    f"Content-Range: bytes {int(first)}-{int(first) + len(part) - 1}/{len(data)}",
                ),
            )
        return Answer(200, data, _TAG)

    def _head(self, _request: Request, key: str) -> Answer:
        self.counts["s3:HeadObject"] += 1
        data = self.objects.get(key)
        return Answer(404) if data is None else Answer(200, b"", _TAG, length=len(data))

    def _delete(self, _request: Request, key: str) -> Answer:
        self.counts["s3:DeleteObject"] += 1
        self.delete(key)
        return Answer(204)

    def _delete_many(self, body: bytes) -> Answer:
        self.counts["s3:DeleteObjects"] += 1
        keys = [unescape(key) for key in re.findall(r"<Key>(.*?)</Key>", body.decode())]
        for key in keys:
            self.delete(key)
        listed = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return Answer(200, f"<DeleteResult>{listed}</DeleteResult>".encode(), _XML)

    def _list(self, query: dict[str, str]) -> Answer:
        self.counts["s3:ListBucket"] += 1
        prefix = query.get("prefix", "")
        after = query.get("continuation-token") or query.get("start-after") or ""
        most = min(int(query.get("max-keys", _PAGE)), _PAGE)
        at = max(bisect.bisect_left(self._keys, prefix), bisect.bisect_right(self._keys, after))
        found: list[str] = []
        while at < len(self._keys) and len(found) <= most and self._keys[at].startswith(prefix):
            found.append(self._keys[at])
            at += 1
        more = len(found) > most
        found = found[:most]
        listed = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-22T00:00:00.000Z</LastModified><ETag>&quot;s&quot;</ETag>"
            f"<Size>{len(self.objects[key])}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key in found
        )
        token = (
            f"<NextContinuationToken>{escape(found[-1])}</NextContinuationToken>" if more else ""
        )
        return Answer(
            200,
            f"<ListBucketResult><Name>b</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(found)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{listed}</ListBucketResult>".encode(),
            _XML,
        )


def _error(code: str, message: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def refusal(status: int, code: str) -> Answer:
    """An error of S3's."""
    return Answer(status, _error(code, "simulated"), _XML)
