"""``penstock logs``: what functions printed."""

from __future__ import annotations

import sys

import rich_click

from penstock.cli.failure import interruptible
from penstock.cli.lookup import one, run_id
from penstock.cli.screen import note
from penstock.cli.session import Session, session


@rich_click.command()
@rich_click.argument("run", default="last")
@rich_click.option("--step", metavar="STEP", help="Only this step.")
@rich_click.option("--item", type=int, metavar="N", help="Only this item of a map.")
@rich_click.option("--attempt", type=int, metavar="N", help="This try; default: the last one.")
@rich_click.option("--follow", "-f", is_flag=True, help="Go on printing until the run has ended.")
@session
def logs(
    the: Session, run: str, step: str | None, item: int | None, attempt: int | None, follow: bool
) -> None:
    """What the functions of a run printed.

    RUN is an id, a beginning of it, or `last` (the default).
    """
    full = run_id(the.client, run)
    if step is not None:
        steps = [each["name"] for each in the.client.run(full)["steps"]]
        step = one("step", step, steps, f"penstock runs show {run}")
    if follow:
        with interruptible("stopped looking; the run goes on"):
            for piece in the.client.follow_logs(full, step=step or "", item=item, attempt=attempt):
                _write(str(piece["text"]).encode())
        return
    found = the.client.logs(full, step=step, item=item, attempt=attempt)
    if found:
        _write(found)
    else:
        note("nothing was printed")


def _write(raw: bytes) -> None:
    if sys.stdout.isatty():
        # What a function printed may hold control sequences; a terminal would obey them.
        raw = "".join(_safe(each) for each in raw.decode("utf-8", "replace")).encode()
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()


def _safe(character: str) -> str:
    return character if character.isprintable() or character in "\n\t" else "�"
