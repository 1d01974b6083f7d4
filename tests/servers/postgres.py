"""PostgreSQL from Debian: a cluster of its own, run by an unprivileged user, on loopback and a socket."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec

from penstock.state.postgres.settings import PostgresSettings
from tests.servers.server import Missing, Server, free_port

SUPERUSER = "penstock"
_numbers = count()
SETTINGS = {
    "fsync": "on",
    "logging_collector": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Killed and paused ones are to be back soon.
    "checkpoint_timeout": "30s",
}


class Postgres(Server):
    """A cluster that lets everybody in who reaches it; a subclass has other rules.

    Attributes:
        parent: Folder in which its own is made; None: where temporary ones are.
        port: On 127.0.0.1, and in the socket's name.
    """

    name = "postgres"
    parent: Path | None = None
    ready = "database system is ready to accept connections"

    def prepare(self) -> None:
        """Make the cluster."""
        self.port = free_port()
        self._user = _unprivileged()
        # Not in the given folder: pytest closes its own to other users again and again.
        self.home = Path(tempfile.mkdtemp(prefix="penstock-postgres-", dir=self.parent))
        atexit.register(shutil.rmtree, self.home, ignore_errors=True)
        self.data = self.home / "data"
        if self._user:
            shutil.chown(self.home, self._user)
        options = ["-A", "trust", "-U", SUPERUSER, "-E", "UTF8", "--locale", "C.UTF-8", "-N"]
        done = subprocess.run(
            self.as_user([program_of("initdb"), "-D", str(self.data), *options]),
            capture_output=True,
            text=True,
            cwd=self.home,
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        lines = [f"{name} = '{value}'\n" for name, value in (SETTINGS | self.settings()).items()]
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(lines)

    def settings(self) -> dict[str, str]:
        """Return further lines of ``postgresql.conf``."""
        return {}

    def command(self) -> list[str]:
        """Return the server's command line."""
        places = ["-D", str(self.data), "-p", str(self.port), "-k", str(self.home), "-h", "127.0.0.1"]
        return self.as_user([program_of("postgres"), *places])

    def _signal(self, number: int) -> None:
        """Tell every process of it: each has a process group of its own."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def as_user(self, command: list[str]) -> list[str]:
        """Return a command as the server's user runs it."""
        if not self._user:
            return command
        return [
            "setpriv",
            f"--reuid={self._user}",
            f"--regid={_group(self._user)}",
            "--clear-groups",
            *command,
        ]

    @property
    def address(self) -> PostgresSettings:
        """How it is reached over its socket, in its own database ``postgres``."""
        return PostgresSettings(
            host=str(self.home), port=self.port, database="postgres", user=SUPERUSER, patience_s=20.0
        )

    def fresh(self) -> PostgresSettings:
        """Return how a schema is reached that nobody has used."""
        return msgspec.structs.replace(self.address, schema=f"test_{next(_numbers)}")

    def described(self) -> dict[str, str]:
        """Return how it is reached."""
        return {
            "address": f"127.0.0.1:{self.port}",
            "socket": str(self.home),
            "psql": f"psql -h {self.home} -p {self.port} -U {SUPERUSER} postgres",
        }


def program_of(name: str) -> str:
    """Return the path of the newest one that is installed; Debian has them beside the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    path = str(found[-1]) if found else shutil.which(name)
    if path is None:
        raise Missing(f"{name} is missing (sudo apt install postgresql)")
    return path


def _unprivileged() -> str:
    """Return who runs the server: nobody's account where we are root, else ourselves (an empty text)."""
    if os.geteuid() != 0:
        return ""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), "")


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid
