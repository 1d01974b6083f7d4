"""What the processes of a site do."""

from __future__ import annotations

from collections.abc import Collection

from penstock.core.errors import Invalid

ROLES = ("sources", "runs", "api")
"""Ask outside systems; fold partitions and run functions; answer people and programs."""


def check_roles(roles: Collection[str]) -> None:
    """Refuse what is no role.

    Raises:
        Invalid: One is none.
    """
    wrong = sorted(set(roles) - set(ROLES))
    if wrong:
        raise Invalid(f"there is no role {wrong[0]!r}; roles are {', '.join(ROLES)}")
