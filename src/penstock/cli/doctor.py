"""``penstock doctor``: what was looked at, what was found, what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rich_click
from rich.text import Text

from penstock.cli.checks import machine, places, storages
from penstock.cli.checks.finding import FAILS, HOLDS, NOTE, Finding
from penstock.cli.screen import lines, note, out, say, state
from penstock.cli.session import Session, as_json, session
from penstock.core.errors import Failed, PenstockError, Unavailable
from penstock.functions.probe import probe
from penstock.server.settings import Settings


@rich_click.command()
@rich_click.option("--all", "everything", is_flag=True, help="Show what is well, too.")
@as_json
@session
def doctor(the: Session, everything: bool, as_json: bool) -> int:
    """Check this machine and installation; findings have remedies.

    ✓ holds, ! is worth knowing, ✗ needs doing. Exit code 1 if anything needs doing.
    """
    findings = examine(the)
    if as_json:
        lines(each.document() for each in findings)
    else:
        _tell(findings, everything)
    return Failed.exit_code if any(each.state == FAILS for each in findings) else 0


def examine(the: Session) -> list[Finding]:
    """Return all findings, in the order in which a person would look."""
    held = _held()  # first, for it forks
    settings, fault = _settings(the)
    return [
        *machine.findings(),
        fault,
        *places.findings(the.places),
        *storages.findings(settings),
        *_running(the),
        *_site(settings),
        *held,
    ]


def _site(settings: Settings) -> list[Finding]:
    if settings.kafka is None or settings.postgres is None:
        return []
    from penstock.cli.checks import site  # needs extras

    return list(site.findings(settings))


def _settings(the: Session) -> tuple[Settings, Finding]:
    config = the.places.config
    try:
        settings = the.settings
    except PenstockError as error:
        return Settings(), Finding("settings", FAILS, str(error), f"correct {config}")
    if not config.exists():
        words = f"{config} is not there; defaults hold"
        return settings, Finding("settings", NOTE, words, f"`{the.command('init')}` makes it")
    return settings, Finding("settings", HOLDS, f"{config} is well")


def _running(the: Session) -> list[Finding]:
    try:
        status = the.client.status()
    except Unavailable as error:
        return [Finding("server", NOTE, str(error), f"start it: `{the.command('serve --detach')}`")]
    except PenstockError as error:
        return [Finding("server", FAILS, str(error), f"look at {the.places.state / 'serve.log'}")]
    if status["engine"] is None:
        log = the.places.state / "serve.log"
        return [Finding("server", FAILS, "the API answers, but the engine is away", f"look at {log}")]
    return [Finding("server", HOLDS, "engine and API answer"), *_troubles(status)]


def _troubles(status: dict[str, Any]) -> list[Finding]:
    troubles: dict[str, str] = (status["engine"] or {}).get("troubles", {})
    return [
        Finding(f"trouble {name}", FAILS, why, "see the words; it goes on by itself when that is mended")
        for name, why in troubles.items()
    ]


def _held() -> list[Finding]:
    """Who holds which limit on functions. A limit that only we hold is worth knowing, not wrong."""
    found = []
    for limit in probe():
        if limit.kernel:
            found.append(Finding(f"limit {limit.limit}", HOLDS, f"{limit.words}: held by the kernel"))
        elif limit.supervised and not limit.remedy:
            found.append(Finding(f"limit {limit.limit}", HOLDS, f"{limit.words}: held by Penstock"))
        else:
            who = "held by Penstock, every 0.1 s" if limit.supervised else "NOT held here"
            found.append(Finding(f"limit {limit.limit}", NOTE, f"{limit.words}: {who}", limit.remedy))
    return found


def _tell(findings: Sequence[Finding], everything: bool) -> None:
    shown = [each for each in findings if everything or each.state != HOLDS]
    for each in shown:
        words, colour = state(each.state).plain[0], state(each.state).style
        say(Text.assemble((words, colour), " ", (each.name, "bold"), f"  {each.message}"))
        if each.remedy:
            out().print(Text(f"    → {each.remedy}", style="dim"), soft_wrap=True)
    well = sum(each.state == HOLDS for each in findings)
    hint = "" if everything else " (--all shows them)"
    note(f"{well} of {len(findings)} checks are well{hint}")
