"""Who may see an event and use a resource: decided at hand-over, by pure code."""

from __future__ import annotations

from msgspec import Struct

LOCAL_TENANT = "local"


class Principal(Struct, frozen=True):
    """Who is asking, and for which tenant.

    Attributes:
        tenant: The owner of what they may touch.
        name: The person or service; on one machine the user's login name.
    """

    tenant: str
    name: str


def may_see(principal: Principal, tenant: str) -> bool:
    """Whether ``principal`` may see what belongs to ``tenant``."""
    return principal.tenant == tenant
