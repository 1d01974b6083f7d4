"""S3 storages that post their notifications: MinIO's webhook target, Ceph's HTTP endpoint."""

from __future__ import annotations

from msgspec import Struct

from penstock.core.ports import Lister, SourceContext
from penstock.outside.secret import Secret
from penstock.sources.door import opened
from penstock.sources.receiving import Receiving
from penstock.sources.s3 import Keys, Notifications
from penstock.sources.s3_listing import S3Lister, S3ListingSettings


class S3WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An S3 storage that posts.

    Attributes:
        storage: Name of the storage its events are told of.
        secret: Where the secret is that the storage sends as bearer token, or as password.
        keys: How object keys are written: ``auto`` (by flavour), ``escaped`` or ``plain``.
        buckets: The only buckets told of; empty for all.
        listing: How buckets are listed, so that what was lost can be found.
    """

    storage: str
    secret: Secret
    keys: Keys = Keys.AUTO
    buckets: tuple[str, ...] = ()
    listing: S3ListingSettings | None = None


class S3Webhook(Receiving):
    """The source of kind ``s3-webhook``."""

    Settings = S3WebhookSettings

    @classmethod
    def open(cls, settings: S3WebhookSettings, context: SourceContext) -> S3Webhook:
        """Return the source.

        Raises:
            Invalid: The secret is not set, or too short.
            Unavailable: Its file cannot be read now.
        """
        read = Notifications(settings.storage, settings.keys, frozenset(settings.buckets))
        source = cls(context, opened(settings.secret), read.records, read.events)
        if settings.listing is not None:
            source._lister = S3Lister(settings.storage, settings.listing)
        return source

    _lister: S3Lister | None = None

    def lister(self) -> Lister | None:
        """Return what lists the buckets; see ``core.ports.Listable``."""
        return self._lister
