"""Writes the golden dump of this version: ``python -m tests.state.golden.make_postgres FILE``.

To be run before a schema is left behind; it starts a server of its own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.postgres import Postgres, program_of
from tests.state.golden.make import sample

from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState
from penstock.state.tables import TABLES


async def fill(settings: PostgresSettings) -> None:
    """Write one row of each kind."""
    state = await PostgresState.open(settings, 3, "golden")
    state.put(*(sample(kind) for kind in TABLES))
    await state.commit()
    state.close()


def dump(settings: PostgresSettings) -> str:
    """Return the schema as statements."""
    place = ["-h", settings.host, "-p", str(settings.port), "-U", settings.user, "-d", settings.database]
    options = ["--schema", settings.schema, "--inserts", "--no-owner", "--no-privileges"]
    command = [program_of("pg_dump"), *place, *options]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept = [
        line
        for line in text.splitlines()
        if line and not line.startswith(("--", "SET ", "SELECT pg_catalog.set_config", "\\"))
    ]
    return "\n".join(kept) + "\n"


def main(target: Path) -> None:
    """Write the dump."""
    server = Postgres(Path(tempfile.mkdtemp()))
    server.start()
    try:
        settings = server.address  # schema "penstock"
        asyncio.run(fill(settings))
        target.write_text(dump(settings), encoding="utf-8")
    finally:
        server.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
