"""What a tested call wrote, and where each file would be published."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from penstock.core import template
from penstock.core.errors import Invalid
from penstock.functions.outcome import Output

OUTPUT_FILES_MAX = 10_000


def outputs_of(
    folder: Path,
    pattern: str,
    earlier: Iterable[Output],
    *,
    subject: bytes,
    root: bytes,
    function: str,
    run: str,
) -> Iterator[Output]:
    """Yield the files in a call's folder.

    Args:
        folder: Where it wrote.
        pattern: Template of the published paths; empty for the usual one.
        earlier: What the calls before it wrote.
        subject: The input's path.
        root: Of the storage.
        function: Name of the function.
        run: Id of the run.

    Raises:
        Invalid: One is no plain file, there are too many, or two would be published at one path.
    """
    taken = {os.fsencode(each.published): each.name for each in earlier}
    for name in _names(folder):
        published = template.render(
            pattern or template.DEFAULT,
            subject=subject,
            root=root,
            name=name,
            function=function,
            run=run,
            generation=1,
        )
        if published in taken:
            raise Invalid(
                f"outputs {taken[published]!r} and {name!r} would both be published at "
                f"{os.fsdecode(published)!r}; use {{name}} in the template, or other names"
            )
        taken[published] = name
        yield Output(name=name, file=folder / name, published=os.fsdecode(published))


def _names(folder: Path) -> list[str]:
    found = sorted(each for each in folder.rglob("*") if not each.is_dir() or each.is_symlink())
    for each in found[: OUTPUT_FILES_MAX + 1]:
        if each.is_symlink() or not each.is_file():
            raise Invalid(f"output {each.name!r} is a link or no plain file; write a copy of what it means")
    if len(found) > OUTPUT_FILES_MAX:
        raise Invalid(f"it wrote {len(found)} files; {OUTPUT_FILES_MAX} are allowed")
    return [str(each.relative_to(folder)) for each in found]
