"""Where the database is, and how to get in. Secrets are named, never written here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from penstock.core.errors import Invalid

Tls = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
CONNECT_S = 10
"""Longest time to make a connection, in seconds; less where ``patience_s`` is."""
CONNECT_S_MIN = 2
"""libpq takes no less."""


class PostgresSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The site's PostgreSQL, 15 or newer. A password may also come from ``~/.pgpass``, as usual.

    Attributes:
        host: Name or address, or the folder of a Unix socket (beginning with ``/``).
        port: TCP port, or the number in the socket's name.
        database: Its name; made by the operator.
        user: Who connects; empty means the operating system's user. It owns the schema.
        schema: Name of the PostgreSQL schema that holds all tables; made if absent.
        password_file: File that holds the password and nothing else; read at each connection.
        password_env: Or the environment variable that holds it.
        tls: As libpq's ``sslmode``; not used over a Unix socket. Weaker than ``verify-full`` is for loopback
            or a network that you trust.
        tls_ca: File of the certificate authority; empty means those of the operating system.
        tls_certificate: File of the client's certificate, where the server wants one.
        tls_key: File of its key.
        patience_s: Longest time that one exchange with the database may take, in seconds; then it is away.
        cache_rows: Most rows of its own that a shard keeps in memory.
    """

    host: str = "/var/run/postgresql"
    port: int = 5432
    database: str = "penstock"
    user: str = ""
    schema: str = "penstock"
    password_file: str = ""
    password_env: str = ""
    tls: Tls = "verify-full"
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    patience_s: float = 20.0
    cache_rows: int = 20_000

    def __post_init__(self) -> None:
        """Refuse settings that contradict themselves, with every fault.

        Raises:
            ValueError: They do.
        """
        if found := faults(self):
            raise ValueError("; ".join(found))

    @property
    def place(self) -> str:
        """Words for messages; no secret."""
        return f"PostgreSQL database {self.database!r} at {self.host}:{self.port}"

    @property
    def channel(self) -> str:
        """Name of the channel on which commits are told."""
        return f"{self.schema}_state"


def faults(settings: PostgresSettings) -> list[str]:
    """Return what is wrong with the settings, in words."""
    found = []
    if settings.password_file and settings.password_env:
        found.append("password_file and password_env: give one of them")
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        found.append("tls_certificate and tls_key belong together: give both or none")
    if not settings.schema.isidentifier() or settings.schema != settings.schema.lower():
        found.append(f"schema {settings.schema!r} must be a small word of letters, digits and '_'")
    if settings.patience_s <= 0 or settings.cache_rows < 0:
        found.append("patience_s must be above 0, and cache_rows not below")
    return found


def parameters(settings: PostgresSettings, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return libpq's connection parameters, the password included; never to be shown.

    Raises:
        Invalid: A secret is not where the settings say.
    """
    network = not settings.host.startswith("/")
    given: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "dbname": settings.database,
        "user": settings.user,
        "password": _password(settings, os.environ if environment is None else environment),
        "sslmode": settings.tls if network else "",
        "sslrootcert": settings.tls_ca or ("system" if network and settings.tls == "verify-full" else ""),
        "sslcert": settings.tls_certificate,
        "sslkey": settings.tls_key,
        # A host that has vanished is noticed by the kernel, without a timer of ours.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": int(settings.patience_s * 1000),
        "connect_timeout": max(CONNECT_S_MIN, min(int(settings.patience_s), CONNECT_S)),
        "options": f"-c search_path={settings.schema}",
    }
    return {name: value for name, value in given.items() if value != ""}


def _password(settings: PostgresSettings, environment: Mapping[str, str]) -> str:
    if settings.password_env:
        if settings.password_env not in environment:
            raise Invalid(f"{settings.place}: the environment has no variable {settings.password_env!r}")
        return environment[settings.password_env]
    if not settings.password_file:
        return ""
    try:
        return Path(settings.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{settings.place}: password_file {settings.password_file} cannot be read") from error
