"""``penstock serve``, ``stop`` and ``status``."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Any

import click
import rich_click
from rich.text import Text

from penstock.cli.checks import places
from penstock.cli.checks.finding import FAILS
from penstock.cli.lock import is_held
from penstock.cli.screen import card, lines, note, say, state
from penstock.cli.session import Session, as_json, session
from penstock.core.errors import Conflict, ConnectionLost, Invalid, PenstockError, Unavailable
from penstock.server import messages, serve_log
from penstock.server.roles import ROLES

START_S = 60.0
STOP_S = 60.0
LOOK_S = 0.05
"""How often ``--detach`` and ``stop`` look whether it is done."""
LOG_NAME = "serve.log"


@rich_click.command()
@rich_click.option("--detach", is_flag=True, help="Run in the background; messages go to serve.log, 10 MiB.")
@rich_click.option("--no-api", is_flag=True, help="Without page and API; most commands need them.")
@rich_click.option(
    "--port", type=int, metavar="PORT", help="Loopback port of page and API; 0 takes a free one."
)
@rich_click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    help="What this process of a site does; may be given again. Default: everything.",
)
@session
def serve(the: Session, detach: bool, no_api: bool, port: int | None, roles: tuple[str, ...]) -> int:
    """Watch the storage folders and run functions, until stopped.

    Ctrl-C (or `penstock stop`) ends it. Whatever is under way is taken up again at the next start.
    """
    if port is not None:
        os.environ["PENSTOCK_PORT"] = str(port)
    settings = the.settings
    if not settings.storages:
        note(f"no storage folder is set in {the.places.config}; `{the.command('init')}` sets one")
    is_helper = settings.postgres is not None and roles and "api" not in roles
    if not is_helper and the.client.is_running():
        raise Conflict(f"Penstock is running here already; `{the.command('status')}` shows it")
    socket = places.socket(the.places.runtime / "engine.sock")
    if socket.state == FAILS:
        raise Invalid(f"{socket.message}; {socket.remedy}")
    if detach:
        if is_helper:
            raise Invalid("--detach needs the role api; leave other processes to systemd (`penstock unit`)")
        return _detached(the, roles)
    return _foreground(the, api=not no_api and not is_helper, roles=roles)


def _foreground(the: Session, *, api: bool, roles: tuple[str, ...]) -> int:
    # The engine's parts take half a second to import; ``--detach`` does without.
    from penstock.server.serve import serve as run_server

    serve_log.start()
    messages.take_form(the.settings.messages)
    for storage in the.settings.storages:
        note(f"storage {storage.name}: {storage.folder}")
    ended = threading.Event()

    def started() -> None:
        note("Penstock runs; Ctrl-C stops it")
        if api:
            threading.Thread(target=_announce, args=(the, ended), daemon=True).start()

    try:
        run_server(the.settings, the.places, api=api, started=started, roles=roles)
    finally:
        ended.set()
    note("Penstock has stopped; what was under way goes on at the next start")
    return 0


def _announce(the: Session, ended: threading.Event) -> None:
    """Say where the page is, once the API listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and not ended.wait(LOOK_S):
        try:
            note(f"page: {the.client.page()}   (opens once; `{the.command('open')}` makes another address)")
            _note_port(the)
        except Unavailable:
            continue
        except PenstockError as error:
            note(f"the page cannot be opened: {error}")
        return


def _detached(the: Session, roles: tuple[str, ...]) -> int:
    log = the.places.state / LOG_NAME
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    serve_log.rotate(log)
    environment = {
        **os.environ,
        **({"PENSTOCK_HOME": the.home} if the.home else {}),
        serve_log.VARIABLE: str(log),
    }
    if environment.get("PENSTOCK_HOME"):
        environment["PENSTOCK_HOME"] = os.path.abspath(environment["PENSTOCK_HOME"])
    begin = log.stat().st_size if log.exists() else 0
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "serve", *(f"--role={role}" for role in roles)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
            env=environment,
        )
    _await_start(the, process, log, begin)
    say(f"Penstock runs in the background (process {process.pid}), messages go to {log}")
    note(f"the page: {the.command('open')}")
    _note_port(the)
    return 0


def _note_port(the: Session) -> None:
    """Say so if the page is not where the settings have it."""
    wanted, page = the.settings.port, str(the.client.status()["page"])
    if wanted and f":{wanted}/" not in page:
        note(f"port {wanted} is used by another process, so the page is at {page}; --port chooses another")


def _await_start(the: Session, process: subprocess.Popen[bytes], log: Path, begin: int) -> None:
    deadline = time.monotonic() + START_S
    while not the.client.is_running():
        code = process.poll()
        if code is not None:
            words = (
                _last_words(log, begin) or f"  it said nothing; `{the.command('doctor')}` looks for the cause"
            )
            raise Unavailable(f"it did not start (exit code {code}):\n{words}")
        if time.monotonic() > deadline:
            raise Unavailable(
                f"it did not answer within {START_S:g} s; it may still be starting. Its messages are in {log}"
            )
        time.sleep(LOOK_S)


def _last_words(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        words = file.read().decode("utf-8", "replace").strip().splitlines()
    return "\n".join(f"  {line}" for line in words[-15:])


@rich_click.command()
@session
def stop(the: Session) -> None:
    """Stop Penstock; what is under way goes on at the next start."""
    the.client.stop()
    deadline = time.monotonic() + STOP_S
    # The sockets go first; the process has ended when it has let go of the log.
    while the.client.is_running() or is_held(the.places):
        if time.monotonic() > deadline:
            raise Unavailable(f"it was told to stop, but still runs after {STOP_S:g} s")
        time.sleep(LOOK_S)
    say("Penstock has stopped")


@rich_click.command()
@as_json
@session
def status(the: Session, as_json: bool) -> int:
    """Say whether Penstock runs here, and how it is.

    Exit code 0 if it runs, 4 if it does not.
    """
    try:
        found = the.client.status()
    except (Unavailable, ConnectionLost) as error:
        if as_json:
            lines([{"running": False, "reason": str(error)}])
        else:
            say(Text.assemble(state("stopped"), f"  {error}"))
            note(f"start it: {the.command('serve --detach')}")
        return Unavailable.exit_code
    if as_json:
        lines([{"running": True, **found}])
    else:
        _tell_status(the, found)
    return 0


def _tell_status(the: Session, found: dict[str, Any]) -> None:
    engine = found["engine"]
    card(
        [
            ("Penstock", Text.assemble(state("running" if engine else "waiting"), f"  {found['version']}")),
            ("page", f"{found['page']}   (open it: {the.command('open')})"),
            ("settings", str(the.places.config)),
            *_engine_fields(engine or {}),
            ("events", f"{found['log_end']} on the log"),
            ("runs", _counts(found["runs"])),
            ("dead letters", _counts({k: n for k, n in found["dead_letters"].items() if k == "open"})),
        ]
    )
    if engine is None:
        note("the engine is away; it is started again by itself")


def _engine_fields(engine: dict[str, Any]) -> list[tuple[str, str | Text]]:
    runs: dict[str, int] = engine.get("runs", {})
    fields: list[tuple[str, str | Text]] = [
        ("storage", f"{each['name']}: {each['folder']}") for each in engine.get("storages", ())
    ]
    if engine:
        waiting = f", {runs['waiting']} wait for room" if runs.get("waiting") else ""
        fields += [
            ("triggers", _triggers(engine)),
            ("under way", f"{runs.get('active', 0)} runs{waiting}, {engine['in_flight']} calls"),
        ]
    troubles: dict[str, str] = engine.get("troubles", {})
    return fields + [("trouble", Text(f"✗ {name}: {why}", style="red")) for name, why in troubles.items()]


def _triggers(engine: dict[str, Any]) -> Text:
    paused = engine.get("paused", 0)
    told = Text(str(engine["triggers"]))
    return told + Text.assemble(", of which ", state("paused"), f": {paused}") if paused else told


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count) or "none"


@rich_click.command("open")
@rich_click.option("--browser", is_flag=True, help="Open it in the browser, too.")
@rich_click.option(
    "--new-token", is_flag=True, help="Shut out all open pages, and programs with the token, first."
)
@session
def open_(the: Session, browser: bool, new_token: bool) -> None:
    """Print an address that opens the page, once, within five minutes.

    A page that is open stays so, though Penstock be restarted, until `--new-token`.
    """
    if new_token:
        the.client.renew_token()
        note("there is a new token; what the former one opened is shut")
    address = the.client.page()
    say(address)
    if browser and not webbrowser.open(address):
        note("no browser could be started; copy the address into one")
