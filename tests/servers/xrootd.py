"""XRootD: one data server that tells a program of what happens to files, from Debian."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.server import Missing, Server, free_port, program

CALL_S = 20.0
"""Longest time that a client's call may take."""
CONFIGURATION = """\
all.sitename PENSTOCK
xrd.port {port}
all.export / nolock
oss.localroot {place}/data
all.adminpath {place}/run
all.pidpath {place}/run
ofs.notify create closew closer mkdir mv rm rmdir trunc chmod msgs {small} {big} {sink}
{formats}
"""
FORMATS = "\n".join(
    f"ofs.notifymsg {event} penstock1 {event} $TID $LFN//"
    for event in ("create", "closew", "closer", "mkdir", "rm", "rmdir", "trunc", "chmod")
)
"""As docs/how-to/xrootd.md recommends; ``mv`` keeps its own, which alone names both paths."""


class Xrootd(Server):
    """A server on loopback whose notices go to ``sink``: ``|program arguments`` or ``>fifo``.

    Attributes:
        small: Notices that may wait.
        big: The same, of moves.
    """

    name = "xrootd"
    ready = "initialization completed."
    small, big = 2000, 200
    formats = FORMATS

    @property
    def address(self) -> str:
        """URL for clients."""
        return f"root://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """Where its files are."""
        return self.place / "data"

    @property
    def spool(self) -> Path:
        """Where its notices are kept by the default sink."""
        return self.place / "spool"

    @property
    def sink(self) -> str:
        """Where notices go to; by default our own program."""
        script = Path(__file__).parents[2] / "src/penstock/sources/xrootd_spooler.py"
        copy = self.place / "penstock-xrootd-spool"
        if not copy.exists():
            shutil.copy(script, copy)
            copy.chmod(0o755)
        return f"|/usr/bin/python3 {copy} {self.spool}"

    def prepare(self) -> None:
        """Choose a port and write the settings."""
        program("xrootd", "xrootd-server")
        program("xrdcp", "xrootd-client")
        if os.geteuid() == 0 and not _has_user():
            raise Missing("the user 'xrootd' is missing (sudo apt install xrootd-server)")
        self.port = free_port()
        # Its parts say the same of themselves before; the server as a whole names its port.
        self.ready = f":{self.port} initialization completed."  # type: ignore[misc]
        # Not in the tests' folder: that is closed to other users, and closed again by the next test run.
        self.place = Path(tempfile.mkdtemp(prefix="penstock-xrootd-"))
        self.place.chmod(0o755)
        for part in ("data", "run", "spool"):
            (self.place / part).mkdir(exist_ok=True)
        self.configure()
        if os.geteuid() == 0:  # It refuses to run as root.
            subprocess.run(["chown", "-R", "xrootd:", str(self.place)], check=True)

    def configure(self) -> None:
        """Write its settings."""
        text = CONFIGURATION.format(
            port=self.port,
            place=self.place,
            small=self.small,
            big=self.big,
            sink=self.sink,
            formats=self.formats,
        )
        (self.place / "xrootd.cfg").write_text(text)

    def command(self) -> list[str]:
        """Return its command line; without a log file it prints."""
        user = ["-R", "xrootd"] if os.geteuid() == 0 else []
        return [
            program("xrootd", "xrootd-server"),
            *user,
            "-c",
            str(self.place / "xrootd.cfg"),
            "-n",
            "penstock",
            "-I",
            "v4",
        ]

    def described(self) -> dict[str, str]:
        """Return how it is reached."""
        return {"address": self.address, "data": str(self.data), "spool": str(self.spool)}

    def kill(self) -> None:
        """Kill it; what it made is removed, so it does not start again."""
        super().kill()
        if hasattr(self, "place"):
            shutil.rmtree(self.place, ignore_errors=True)

    def put(self, path: bytes | str, text: str = "hello") -> None:
        """Upload a small file."""
        raw = path if isinstance(path, bytes) else path.encode()
        source = self.place / "upload"
        source.write_text(text)
        self._call(["xrdcp", "-s", "-f", "-p", os.fsencode(source), self.address.encode() + b"/" + raw])

    def do(self, *words: bytes | str) -> None:
        """Ask for something by ``xrdfs``: ``mv``, ``rm``, ``mkdir`` …"""
        self._call(["xrdfs", self.address, *words])

    def _call(self, command: list[bytes | str]) -> None:
        window = {"XRD_CONNECTIONRETRY": "1", "XRD_CONNECTIONWINDOW": "5", "XRD_LOGLEVEL": "Error"}
        done = subprocess.run(command, capture_output=True, timeout=CALL_S, env={**os.environ, **window})
        assert done.returncode == 0, (command, done.stderr)


def _has_user() -> bool:
    try:
        pwd.getpwnam("xrootd")
    except KeyError:
        return False
    return True
