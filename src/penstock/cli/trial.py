"""``penstock test``: a function on one file, here and now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rich_click
from rich.text import Text

from penstock.cli import wording
from penstock.cli.params import JSON
from penstock.cli.progress import Progress
from penstock.cli.screen import lines, note, say, state
from penstock.cli.session import Session, any_path, as_json, existing_file, session
from penstock.core.errors import FunctionFailed
from penstock.functions.outcome import Called, Outcome
from penstock.server.trial import trial


@rich_click.command()
@rich_click.argument("file", type=existing_file)
@rich_click.argument("name", required=False)
@rich_click.option("--file", "given", required=True, type=existing_file, metavar="INPUT", help="The input.")
@rich_click.option(
    "--root", type=any_path, metavar="DIR", help="The storage's root. Default: the input's folder."
)
@rich_click.option("--keep", type=any_path, metavar="DIR", help="Keep the outputs in this new folder.")
@rich_click.option("--params", type=JSON, metavar="JSON", help="What a person gives at a manual start.")
@rich_click.option(
    "--wheels", type=any_path, metavar="DIR", help="Install from these wheels, not from the network."
)
@as_json
@session
def test(
    the: Session,
    file: Path,
    name: str | None,
    given: Path,
    root: Path | None,
    keep: Path | None,
    params: dict[str, Any] | None,
    wheels: Path | None,
    as_json: bool,
) -> int:
    """Try a function or workflow out on one file, without a server.

    NAME is needed where FILE defines several. All steps run here, one after another, without a sandbox;
    nothing is published, it is only said where outputs would go.
    """
    with Progress() as progress:
        outcome = trial(
            file,
            given,
            the.places,
            name=name,
            root=root,
            keep=keep,
            params=params,
            wheels=wheels,
            progress=progress.step,
            on_line=progress.line,
        )
    if as_json:
        lines([_document(outcome, keep)])
    else:
        _tell(outcome, keep)
        if outcome.error is None:
            note(f"it works; deploy it: {the.command(f'deploy {file}')}")
    return FunctionFailed.exit_code if outcome.error is not None else 0


def _tell(outcome: Outcome, keep: Path | None) -> None:
    for call in outcome.calls:
        item = f"[{call.item}]" if call.item >= 0 else ""
        how = state("failed" if call.error else "succeeded")
        say(Text.assemble(how, f"  {call.step}{item}  {wording.duration(call.seconds)}"))
        if call.error:
            say(Text(_indented(call.error), style="red"))
        else:
            say(_indented(json.dumps(call.result, ensure_ascii=False)))
        for output in call.outputs:
            kept = f"  (kept as {output.file})" if keep is not None else ""
            published = wording.printable(output.published)
            say(f"    {output.name} would be published as {published}{kept}")
    for step, phase in outcome.phases.items():
        if phase == "skipped":
            say(Text.assemble(state(phase), f"  {step}"))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _document(outcome: Outcome, keep: Path | None) -> dict[str, Any]:
    return {
        "workflow": outcome.workflow,
        "phase": "failed" if outcome.error is not None else "succeeded",
        "error": outcome.error or "",
        "steps": outcome.phases,
        "calls": [_call(call, keep) for call in outcome.calls],
        "result": outcome.result,
    }


def _call(call: Called, keep: Path | None) -> dict[str, Any]:
    return {
        "step": call.step,
        "item": call.item,
        "function": call.function,
        "seconds": round(call.seconds, 6),
        "result": call.result,
        "error": call.error or "",
        "outputs": [
            {
                "name": output.name,
                "published": output.published,
                **({"file": str(output.file)} if keep is not None else {}),
            }
            for output in call.outputs
        ],
    }
