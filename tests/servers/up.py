"""``./dev servers [NAME…] [--json]``: starts real servers and keeps them until Ctrl-C.

Without names it lists what there is. ``--json`` prints one object per server: how it is reached.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.server import Missing, Server

SERVERS = {
    "activemq": "tests.servers.activemq:ActiveMq",
    "kafka": "tests.servers.kafka:Kafka",
    "kafka-secure": "tests.servers.kafka_secure:SecureKafka",
    "postgres": "tests.servers.postgres:Postgres",
    "xrootd": "tests.servers.xrootd:Xrootd",
}
"""Name to class; imported only when it is wanted."""


def load(name: str) -> type[Server]:
    """Return the class of a server."""
    module, _, kind = SERVERS[name].partition(":")
    found: type[Server] = getattr(importlib.import_module(module), kind)
    return found


def main() -> int:
    """Start what is named and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="./dev servers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--json", action="store_true", help="one JSON object per server")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in SERVERS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SERVERS)}")
    if not asked.names:
        print("\n".join(SERVERS))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return serve(asked.names, as_json=asked.json)
    except KeyboardInterrupt:
        return 0


def serve(names: list[str], *, as_json: bool) -> int:
    """Start servers and keep them until interrupted; they are stopped whatever happens."""
    with tempfile.TemporaryDirectory(prefix="penstock-servers-") as folder, ExitStack() as ends:
        for name in names:
            server = load(name)(Path(folder) / name)
            ends.callback(server.stop)
            try:
                server.start()
            except Missing as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 4
            show(name, server, as_json=as_json)
        if not as_json:
            print("Ctrl-C stops them.", flush=True)
        while True:
            signal.pause()


def show(name: str, server: Server, *, as_json: bool) -> None:
    """Print how a server is reached."""
    members = {"server": name, **server.described(), "log": str(server.log)}
    if as_json:
        print(json.dumps(members), flush=True)
    else:
        print("\n".join(f"{key:>12}  {value}" for key, value in members.items()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
