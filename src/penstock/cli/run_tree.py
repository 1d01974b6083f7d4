"""A run drawn for people: what came after what, how each step ended, what it answered and wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.text import Text
from rich.tree import Tree

from penstock.cli import wording
from penstock.cli.lookup import bare
from penstock.cli.screen import card, draw, say, state

JSON = Mapping[str, Any]
ANSWER_CHARS = 300
FAILED_SHOWN = 5
"""Failed items of a map that are named."""


def tell(whole: JSON) -> None:
    """Print a run with its steps."""
    run = whole["run"]
    event = whole["event"] or {}
    card(
        [
            ("run", run["id"]),
            ("state", state(run["phase"])),
            ("workflow", bare(run["workflow"])),
            ("file" if run["path"].startswith("/") else "about", wording.printable(run["path"])),
            ("started", wording.moment(run["started"])),
            ("took", wording.span(run["started"], run["ended"])),
            ("by", _why(whole, event)),
            ("cause", f"the work of run {whole['cause']}" if whole.get("cause") else ""),
            ("error", Text(run["error"], style="red")),
        ]
    )
    draw(tree(whole))
    for output in whole["outputs"]:
        say(f"output  {wording.printable(output['path'])}")
    for child in whole["children"]:
        say(Text.assemble("started  ", state(child["phase"]), f"  {bare(child['workflow'])}  {child['id']}"))


def _why(whole: JSON, event: JSON) -> str:
    again = f", repetition {whole['generation']}" if whole["generation"] else ""
    if whole["trigger_name"]:
        offset = f", event {event['offset']}" if event else ""
        return f"trigger {bare(whole['trigger_name'])}{offset}{again}"
    return f"{whole['principal']}, by hand{again}"


def tree(whole: JSON) -> Tree:
    """Return the steps, each below the first one that it comes after; further ones are named."""
    root = Tree(bare(whole["run"]["workflow"]))
    places: dict[str, Tree] = {}
    for step in whole["steps"]:
        parent = next((places[name] for name in step["after"] if name in places), root)
        place = parent.add(_title(step))
        for detail in _details(step):
            place.add(detail)
        places[step["name"]] = place
    return root


def _title(step: JSON) -> Text:
    attempts = step["attempts"]
    took = wording.span(attempts[0]["started"], attempts[-1]["ended"]) if attempts else ""
    parts = [step["name"], took]
    if step["attempt"] > 1:
        parts.append(f"try {step['attempt']}")
    if step["items"] is not None:
        items = step["items"]
        parts.append(f"{items['succeeded']} of {items['total']} items")
    if len(step["after"]) > 1:
        parts.append(f"after {', '.join(step['after'])}")
    if step["batch"]:
        parts.append(f"on batch system {step['batch']}")
    return Text.assemble(state(step["phase"]), "  ", "  ".join(part for part in parts if part))


def _details(step: JSON) -> list[Text]:
    found = []
    if step["error"]:
        found.append(Text(step["error"], style="red" if step["phase"] == "failed" else "dim"))
    if step["items"] is not None:
        failed = list(step["items"]["errors"].items())[:FAILED_SHOWN]
        found += [Text(f"item {item}: {error}", style="red") for item, error in failed]
    if step["result"] is not None:
        text = json.dumps(step["result"], ensure_ascii=False)
        short = text if len(text) <= ANSWER_CHARS else f"{text[:ANSWER_CHARS]} … ({len(text)} characters)"
        found.append(Text(f"= {short}", style="dim"))
    return found
