"""A small S3 storage over HTTP for tests: objects are put and removed here, and listed by clients.

It knows ListObjectsV2 (with pages) and HEAD, and does not check who asks.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import md5
from xml.sax.saxutils import escape

from aiohttp import web
from msgspec import Struct

DATE = "%a, %d %b %Y %H:%M:%S GMT"


class Item(Struct, frozen=True):
    """An object; ``version`` is empty in a bucket without versions."""

    size: int
    etag: str
    at: datetime
    version: str = ""


class FakeS3:
    """Buckets in memory. ``async with FakeS3() as storage`` listens at ``storage.address``.

    Args:
        versioned: Whether buckets keep versions.
        page: Most objects of one answer.

    Attributes:
        broken: Answers 403 to every question from the nth on; None for never.
        calls: Every question, as ``METHOD path?query``.
    """

    def __init__(self, *, versioned: bool = False, page: int = 1000) -> None:
        self.items: dict[str, dict[str, Item]] = {}
        self.address = ""
        self.broken: int | None = None
        self.calls: list[str] = []
        self._versioned = versioned
        self._page = page
        self._number = 0
        self._runner: web.AppRunner | None = None

    def put(self, bucket: str, key: str, content: bytes, at: datetime | None = None) -> Item:
        """Write an object."""
        self._number += 1
        item = Item(
            len(content),
            md5(content, usedforsecurity=False).hexdigest(),
            (at or datetime.now(UTC)).replace(microsecond=0),
            f"v{self._number}" if self._versioned else "",
        )
        self.items.setdefault(bucket, {})[key] = item
        return item

    def remove(self, bucket: str, key: str) -> Item:
        """Remove an object."""
        return self.items[bucket].pop(key)

    async def __aenter__(self) -> FakeS3:
        app = web.Application()
        app.router.add_get("/{bucket}", self._list)
        app.router.add_get("/{bucket}/", self._list)
        app.router.add_head("/{bucket}/{key:.*}", self._head)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _asked(self, request: web.Request) -> None:
        self.calls.append(f"{request.method} {request.path_qs}")
        if self.broken is not None and len(self.calls) > self.broken:
            raise web.HTTPForbidden(text="<Error><Code>AccessDenied</Code></Error>")

    async def _list(self, request: web.Request) -> web.Response:
        self._asked(request)
        bucket = self.items.get(request.match_info["bucket"], {})
        prefix, after = request.query.get("prefix", ""), request.query.get("continuation-token", "")
        keys = sorted((key for key in bucket if key.startswith(prefix) and key > after), key=str.encode)
        shown = keys[: self._page]
        parts = [f"<Contents>{_described(key, bucket[key])}</Contents>" for key in shown]
        if len(keys) > len(shown):
            parts.append(f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>")
        more = str(len(keys) > len(shown)).lower()
        body = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{more}</IsTruncated>{''.join(parts)}</ListBucketResult>"
        )
        return web.Response(text=body, content_type="application/xml")

    async def _head(self, request: web.Request) -> web.Response:
        self._asked(request)
        item = self.items.get(request.match_info["bucket"], {}).get(request.match_info["key"])
        if item is None:
            raise web.HTTPNotFound
        headers = {"ETag": f'"{item.etag}"', "Last-Modified": item.at.strftime(DATE)}
        if item.version:
            headers["x-amz-version-id"] = item.version
        return web.Response(headers=headers | {"Content-Length": str(item.size)})


def _described(key: str, item: Item) -> str:
    at = item.at.isoformat().replace("+00:00", ".000Z")
    return (
        f"<Key>{escape(key)}</Key><LastModified>{at}</LastModified><ETag>&quot;{item.etag}&quot;</ETag>"
        f"<Size>{item.size}</Size><StorageClass>STANDARD</StorageClass>"
    )
