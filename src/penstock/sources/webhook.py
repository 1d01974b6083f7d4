"""Anything that posts JSON, by a mapping: catalogues, file shares, transfer services."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from penstock.core.ports import SourceContext
from penstock.outside.secret import Secret
from penstock.sources.door import opened
from penstock.sources.mapping import Mapping, MappingSettings
from penstock.sources.receiving import Receiving


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that posts JSON.

    Attributes:
        storage: Name of the storage, or of whatever its events are about.
        secret: Where the secret is that the sender shows, or signs with.
        mapping: How a body becomes events.
        signature_header: Header with the HMAC-SHA256 of the body, such as ``X-Hub-Signature-256``;
            absent: the secret itself is sent as bearer token, or as password.
    """

    storage: str
    secret: Secret
    mapping: MappingSettings
    signature_header: str = ""


class Webhook(Receiving):
    """The source of kind ``webhook``."""

    Settings = WebhookSettings

    @classmethod
    def open(cls, settings: WebhookSettings, context: SourceContext) -> Webhook:
        """Return the source.

        Raises:
            Invalid: The secret is not set, or too short; or the mapping cannot work.
            Unavailable: The secret's file cannot be read now.
        """
        mapping = Mapping(settings.storage, settings.mapping)
        door = opened(settings.secret, settings.signature_header)
        return cls(context, door, _whole, mapping.events)


def _whole(body: bytes) -> Iterable[bytes]:
    """Return the body as its one record; without any it is a probe."""
    return (body,) if body.strip() else ()
