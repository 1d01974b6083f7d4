"""Grants: the statement of what may be minted, kept where tokens may not be.

Log, database and queues hold grants. Tokens are minted from them at hand-over, by the
token generator; on a local folder there is nothing to mint, so a grant is all there is.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Activity(StrEnum):
    """What may be done, in the words of the WLCG token profile."""

    READ = "storage.read"
    CREATE = "storage.create"
    MODIFY = "storage.modify"
    SUBMIT = "compute.create"


class Grant(Struct, frozen=True, kw_only=True):
    """Identity, resource, activity, path and lifetime of what may be minted.

    Attributes:
        tenant: On whose behalf.
        principal: Who asked.
        resource: Name of the storage or batch system.
        activity: What may be done.
        path: The file or folder it is confined to.
        lifetime_s: Of a token minted from it, in seconds.
    """

    tenant: str
    principal: str
    resource: str
    activity: Activity
    path: str
    lifetime_s: float
