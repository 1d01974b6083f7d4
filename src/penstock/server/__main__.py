"""``python -m penstock.server [--home FOLDER] [--no-api] [--role ROLE]…``: what ``penstock serve`` runs."""

from __future__ import annotations

import argparse
import sys

from penstock.core.errors import PenstockError
from penstock.server.serve import main
from penstock.server.settings import load, places

parser = argparse.ArgumentParser(prog="python -m penstock.server")
parser.add_argument("--home", help="keep everything below this folder")
parser.add_argument("--no-api", action="store_true", help="run the engine alone")
parser.add_argument("--role", action="append", default=[], help="what this process of a site does")
chosen = parser.parse_args()
where = places(chosen.home)
try:
    wanted = load(where.config)
except PenstockError as error:
    print(f"penstock: {error}", file=sys.stderr)  # noqa: T201 - the terminal is who asked
    sys.exit(error.exit_code)
sys.exit(main(wanted, where, api=not chosen.no_api, roles=chosen.role))
