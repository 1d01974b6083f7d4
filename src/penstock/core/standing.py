"""What a run that was read back from a snapshot stands in: the commands that had no answer yet."""

from __future__ import annotations

from penstock.core.facts import Call, Phase, Wait
from penstock.core.items import RETRYING as ITEM_RETRYING
from penstock.core.items import RUNNING as ITEM_RUNNING
from penstock.core.items import Items
from penstock.core.retry import failures
from penstock.core.run_state import Run


def standing(run: Run) -> list[Call | Wait]:
    """Return the calls that are in flight and the waits that are not over, in the order of the steps."""
    commands: list[Call | Wait] = []
    for name, step in run.steps.items():
        if step.phase is Phase.RUNNING and step.items is not None:
            commands += _of_items(name, step.items)
        elif step.phase is Phase.RUNNING:
            commands.append(Call(name, step.attempt))
        elif step.phase is Phase.RETRYING:
            commands.append(Wait(name, step.attempt + 1, failures(step.attempt, step.evictions)))
    return commands


def _of_items(name: str, items: Items) -> list[Call | Wait]:
    commands: list[Call | Wait] = []
    for item, state in enumerate(items.states):
        attempt = items.attempts.get(item, 1)
        if state == ITEM_RUNNING:
            commands.append(Call(name, attempt, item))
        elif state == ITEM_RETRYING:
            failed = failures(attempt, items.evictions.get(item, 0))
            commands.append(Wait(name, attempt + 1, failed, item))
    return commands
