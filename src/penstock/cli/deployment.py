"""``penstock deploy`` and ``undeploy``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import rich_click

from penstock.cli.failure import interruptible
from penstock.cli.lookup import bare, one
from penstock.cli.progress import Progress
from penstock.cli.screen import lines, note, say
from penstock.cli.session import Session, any_path, as_json, dry_run, existing_file, session
from penstock.core.errors import NotFound
from penstock.core.policy import LOCAL_TENANT
from penstock.functions.child import ignore
from penstock.server.deploy import prepare

NAMES_SHOWN = 8
"""Triggers that are named after a deployment."""


@rich_click.command()
@rich_click.argument("file", type=existing_file)
@rich_click.option("--existing", is_flag=True, help="Also run on the files that are there already.")
@rich_click.option(
    "--wheels", type=any_path, metavar="DIR", help="Install from these wheels, not from the network."
)
@rich_click.option("--verbose", is_flag=True, help="Show what the installer and the file itself print.")
@dry_run
@as_json
@session
def deploy(
    the: Session,
    file: Path,
    existing: bool,
    wheels: Path | None,
    verbose: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Deploy the functions and workflows of a file.

    FILE is Python or YAML. What has not changed keeps its version. The code is copied, and packages that
    it names are installed for it alone.
    """
    the.client.status()  # before the minutes that an environment may take
    with interruptible("interrupted; nothing was deployed"), Progress() as progress:
        deployment = prepare(
            file,
            the.places,
            tenant=LOCAL_TENANT,
            principal=the.principal,
            wheels=wheels,
            progress=progress.step,
            on_line=progress.line if verbose else ignore,
        )
    report = the.client.submit(msgspec.to_builtins(deployment), existing=existing, dry_run=dry_run)
    if as_json:
        lines([report])
    else:
        _tell(the, report, existing=existing, dry_run=dry_run)


def _tell(the: Session, report: dict[str, Any], *, existing: bool, dry_run: bool) -> None:
    new = set(report["new"])
    done = "would be deployed" if dry_run else "deployed"
    functions, workflows = report["functions"], report["workflows"]
    for kind, names in (("function", functions), ("workflow", [w for w in workflows if w not in functions])):
        for name in names:
            say(f"{kind} {bare(name)}  {done if name in new else 'unchanged'}")
    if existing and not dry_run:
        say(f"{report.get('existing', 0)} runs for files that were there already")
    for warning in report.get("warnings", ()):
        note(f"warning: {warning}")
    if report["triggers"]:
        names = ", ".join(map(bare, report["triggers"][:NAMES_SHOWN]))
        more = len(report["triggers"]) - NAMES_SHOWN
        names += f" and {more} more" if more > 0 else ""
        note(f"started by: {names} (`{the.command('triggers')}`)")
    else:
        note(f"nothing starts it by itself; by hand: {the.command(f'runs start {bare(workflows[0])}')}")


@rich_click.command()
@rich_click.argument("name")
@dry_run
@as_json
@session
def undeploy(the: Session, name: str, dry_run: bool, as_json: bool) -> None:
    """Let a function or workflow start no more.

    Its triggers are removed. Runs under way go on, and what happened stays to be seen; to deploy its file
    again brings it back.
    """
    client = the.client
    triggers = client.triggers()
    workflows = {each["name"] for each in client.workflows()}
    chosen = one(
        "function or workflow", name, workflows | {t["name"] for t in triggers}, "penstock functions"
    )
    found = [t for t in triggers if t["workflow"].partition("@")[0] == chosen or t["name"] == chosen]
    if not found:
        raise NotFound(f"{bare(chosen)} has no trigger: nothing starts it any more")
    for trigger in found:
        if not dry_run:
            client.remove_trigger(trigger["name"])
        if not as_json:
            say(f"trigger {bare(trigger['name'])}  {'would be removed' if dry_run else 'removed'}")
    if as_json:
        lines(found)
