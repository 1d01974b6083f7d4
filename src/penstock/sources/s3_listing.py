"""Lists the buckets of an S3 storage, so that what was lost can be found. Needs the extra ``s3``.

A listing names no version and no sequencer, only the eTag. A content is the known one if its eTag is that of
the notice, or, in a bucket with versions, if its time is; in doubt the object is asked for its version.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Refused, Unavailable
from penstock.core.ports import Listed, Look, Stamp
from penstock.core.reconcile import is_near
from penstock.core.rows import FileState
from penstock.outside.secret import Secret

if TYPE_CHECKING:
    from obstore.store import S3Store

LOOKS = 16
"""Objects looked at at once."""
PAGE = 1000
"""Objects asked for at once; S3 gives no more."""


class S3ListingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How buckets are listed.

    Attributes:
        endpoint: Address of the storage, such as ``https://s3.example.org``.
        buckets: Those that are listed.
        key_id: Where the access key's id is kept.
        key: Where the secret key is kept; it needs ListBucket and GetObject.
        region: The storage's region.
        answer_s: Longest time for an answer.
        retry_s: How long to wait when it is away.
    """

    endpoint: str
    buckets: tuple[str, ...]
    key_id: Secret
    key: Secret
    region: str = "us-east-1"
    answer_s: float = 60.0
    retry_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what can never be listed."""
        if not self.endpoint.startswith(("https://", "http://")):
            raise ValueError(f"endpoint {self.endpoint!r}: expected an address such as https://HOST")
        if not self.buckets:
            raise ValueError("buckets is empty; name those that are listed")


class S3Lister:
    """``core.ports.Lister`` for buckets.

    Args:
        storage: Name of the storage.
        settings: Where, and who we are.
    """

    stamp = ("size", "version", "ctime_ns")

    def __init__(self, storage: str, settings: S3ListingSettings) -> None:
        self.storage = storage
        self._settings = settings
        self._stores: dict[str, S3Store] = {}

    async def trees(self) -> Sequence[bytes]:
        """See ``Lister``."""
        return [b"/" + bucket.encode() for bucket in self._settings.buckets]

    async def pages(self, folder: bytes) -> AsyncIterator[Sequence[Stamp]]:
        """See ``Lister``."""
        asked = folder.rstrip(b"/") + b"/"
        for bucket in sorted(self._settings.buckets, key=lambda name: name + "/"):
            inside = b"/%b/" % bucket.encode()
            if inside.startswith(asked) or asked.startswith(inside):
                async for page in self._pages(bucket, asked[len(inside) :].decode()):
                    yield page

    async def _pages(self, bucket: str, prefix: str) -> AsyncIterator[list[Stamp]]:
        with self._translating(bucket):
            found = self._store(bucket).list(prefix.rstrip("/") or None, chunk_size=PAGE)
            async for page in found:
                stamps = [self._stamp(bucket, each) for each in page]
                yield sorted(stamps)

    def _stamp(self, bucket: str, found: Any) -> Stamp:
        path = f"/{bucket}/{found['path']}".encode()
        return path, found["size"], _etag(found), _nanoseconds(found["last_modified"])

    async def look(self, paths: Sequence[bytes]) -> Sequence[Listed | Look]:
        """See ``Lister``."""
        found: list[Listed | Look] = []
        for start in range(0, len(paths), LOOKS):
            found += await asyncio.gather(*map(self._look, paths[start : start + LOOKS]))
        return found

    async def _look(self, path: bytes) -> Listed | Look:
        bucket, _, key = path.decode().lstrip("/").partition("/")
        if bucket not in self._settings.buckets:
            raise Refused(f"bucket {bucket!r} is not among those that are listed: {self._settings.buckets}")
        with self._translating(bucket):
            try:
                found: Any = await self._store(bucket).head_async(key)
            except FileNotFoundError:
                return Look.NOTHING
        version = found["version"]
        at_ns = _nanoseconds(found["last_modified"])
        described = {name: value for name, value in found.items() if name != "last_modified"}
        return Listed(
            path=path,
            size=found["size"],
            mtime_ns=at_ns,
            born_ns=at_ns,
            version=version if version not in (None, "null") else "",
            native=_etag(found),
            origin=Raw(
                msgspec.json.encode(described | {"last_modified": found["last_modified"].isoformat()})
            ),
        )

    def is_same(self, stamp: Stamp, known: FileState) -> bool:
        """See ``Lister``."""
        size, etag, at_ns = int(stamp[1]), str(stamp[2]), int(stamp[3])
        if known.size not in (-1, size):
            return False
        if known.version == etag or known.version.startswith(f"{etag}-"):
            return True
        if known.version.startswith(f"{etag}@"):
            return known.mtime_ns == at_ns
        return "-" not in known.version and is_near(at_ns, known)

    async def close(self) -> None:
        """See ``Lister``; secrets are read anew for the next listing."""
        self._stores.clear()

    def _store(self, bucket: str) -> S3Store:
        if bucket not in self._stores:
            from obstore.store import S3Store  # an extra

            settings = self._settings
            self._stores[bucket] = S3Store(
                bucket,
                endpoint=settings.endpoint,
                region=settings.region,
                access_key_id=settings.key_id.read(),
                secret_access_key=settings.key.read(),
                virtual_hosted_style_request=False,
                client_options={"allow_http": True, "timeout": f"{settings.answer_s:g}s"},
                retry_config={"max_retries": 2},
            )
        return self._stores[bucket]

    @contextmanager
    def _translating(self, bucket: str) -> Iterator[None]:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        where = f"bucket {bucket!r} of {self._settings.endpoint}"
        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise Refused(f"{where} may not be listed by us: renew the key, or grant ListBucket") from error
        except BaseError as error:
            why = str(error).splitlines()[0]
            raise Unavailable(f"{where} cannot be listed: {why}", self._settings.retry_s) from error


def _etag(found: Any) -> str:
    return str(found["e_tag"] or "").strip('"')


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000
