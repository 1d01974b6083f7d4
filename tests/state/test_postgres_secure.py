"""TLS and passwords against a server that demands them; secrets are never part of a message."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from tests.servers.plugin import started
from tests.servers.postgres import Postgres
from tests.servers.server import program

from penstock.core.errors import Unavailable
from penstock.core.rows import CursorRow
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState

pytestmark = pytest.mark.slow
PASSWORD = "correct horse; battery"


class SecurePostgres(Postgres):
    """A server that takes TLS with passwords over the network; over its socket it asks nothing."""

    def prepare(self) -> None:
        super().prepare()
        command = [program("openssl", "openssl"), "req", "-new", "-x509", "-nodes", "-days", "2"]
        more = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        places = ["-out", str(self.home / "server.crt"), "-keyout", str(self.home / "server.key")]
        made = subprocess.run(self.as_user([*command, *more, *places]), capture_output=True, cwd=self.home)
        assert made.returncode == 0, made.stderr
        (self.data / "pg_hba.conf").write_text(
            "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
        )

    def settings(self) -> dict[str, str]:
        return {
            "ssl": "on",
            "ssl_cert_file": str(self.home / "server.crt"),
            "ssl_key_file": str(self.home / "server.key"),
        }


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecurePostgres]:
    server = SecurePostgres(tmp_path_factory.mktemp("postgres"))
    started(server)
    at = server.address
    with psycopg.connect(host=at.host, port=at.port, user=at.user, dbname=at.database) as session:
        session.execute(f"CREATE ROLE site LOGIN PASSWORD '{PASSWORD}'")
        session.commit()
        session.autocommit = True
        session.execute("CREATE DATABASE site OWNER site")
    yield server
    server.kill()


@pytest.fixture
def settings(secure: SecurePostgres, tmp_path: Path) -> PostgresSettings:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    return PostgresSettings(
        host="localhost",
        port=secure.port,
        database="site",
        user="site",
        password_file=str(tmp_path / "password"),
        tls_ca=str(secure.home / "server.crt"),
    )


@pytest.mark.anyio
async def test_a_site_s_database_is_used_by_tls_and_password(settings: PostgresSettings) -> None:
    state = await PostgresState.open(settings, 0)
    state.put(CursorRow("pump", 0, 1))
    await state.commit()
    assert state.select(CursorRow) == [CursorRow("pump", 0, 1)]
    state.close()


def test_what_is_wrong_is_told_without_the_secret(settings: PostgresSettings, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("guess; what")
    for changes, words in (
        ({"password_file": str(tmp_path / "wrong")}, "does not let us in.*password authentication failed"),
        ({"tls": "disable"}, "does not let us in.*no pg_hba.conf entry"),
        ({"tls_ca": ""}, "cannot be reached.*certificate"),
        ({"host": "127.0.0.1", "tls_ca": "/nowhere"}, "cannot be reached.*/nowhere"),
    ):
        with pytest.raises(Unavailable, match=words) as caught:
            PostgresState(msgspec.structs.replace(settings, **changes), 0)
        text = f"{caught.value!r} {caught.value.__cause__!r}"
        assert "guess" not in text
        assert "horse" not in text
