"""S3 storages that post their notifications: MinIO's webhook target, Ceph's HTTP endpoint."""

from __future__ import annotations

from msgspec import Struct

from penstock.core.ports import SourceContext
from penstock.outside.secret import Secret
from penstock.sources.door import opened
from penstock.sources.receiving import Receiving
from penstock.sources.s3 import Keys, Notifications


class S3WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An S3 storage that posts.

    Attributes:
        storage: Name of the storage its events are told of.
        secret: Where the secret is that the storage sends as bearer token, or as password.
        keys: How object keys are written: ``auto`` (by flavour), ``escaped`` or ``plain``.
        buckets: The only buckets told of; empty for all.
    """

    storage: str
    secret: Secret
    keys: Keys = Keys.AUTO
    buckets: tuple[str, ...] = ()


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
        return cls(context, opened(settings.secret), read.records, read.events)
