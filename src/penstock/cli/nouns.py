"""Groups of the form ``penstock NOUN VERB``, in which ``list`` is what the noun alone means."""

from __future__ import annotations

import click
import rich_click

DEFAULT = "list"
_HELP = ("-h", "--help")


class Noun(rich_click.RichGroup):
    """A group whose first verb is taken for granted: ``penstock runs --failed`` lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the verb if there is none."""
        taken_for_granted = not args or (args[0].startswith("-") and args[0] not in _HELP)
        if taken_for_granted and not ctx.resilient_parsing:  # which is completion: it offers the verbs
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)
