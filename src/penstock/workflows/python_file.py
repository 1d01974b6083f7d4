"""A described Python file as drafts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.core.errors import Invalid
from penstock.workflows.draft import Document, Draft

JSON = dict[str, Any]


def document_of(path: Path, described: JSON) -> Document:
    """Return what ``described`` (see ``functions.describe``) says the file at ``path`` defines.

    Raises:
        Invalid: It defines nothing; the message says how to.
    """
    files = (path.name, *described["modules"], *described.get("include", ()))
    functions = described["functions"] or _only_main(path, described)
    if not functions and not described["workflows"]:
        raise Invalid(
            f"{path.name}: nothing in it is decorated. Write '@function(on=\"*.nxs\")' above a function, "
            "with 'from penstock import function' at the top; or define one function 'main(params)'"
        )
    return Document(
        functions=tuple(_function(path, files, each) for each in functions),
        workflows=tuple(_workflow(path, each) for each in described["workflows"]),
    )


def _only_main(path: Path, described: JSON) -> list[JSON]:
    """The bare convention of OpenWhisk: one function ``main(params)``, called like the file."""
    name = path.stem.lower().replace("_", "-").strip("-")
    return [
        {**plain, "options": {"name": name}}
        for plain in described["plain"]
        if plain["attribute"] == "main" and not described["workflows"]
    ]


def _function(path: Path, files: tuple[str, ...], described: JSON) -> Draft:
    options = dict(described["options"])
    name = str(options.pop("name"))
    if described["summary"]:
        options["summary"] = described["summary"]
    flaw = described["arguments"]
    if described["attribute"] is None:
        flaw = "is not at the top level of the file; define it there, so that a worker can find it"
    return Draft(
        kind="function",
        name=name,
        place=_place(path, described["line"]),
        options=options,
        entry=f"{path.name}:{described['attribute']}",
        files=files,
        flaw=flaw,
    )


def _workflow(path: Path, described: JSON) -> Draft:
    options = {name: value for name, value in described["options"].items() if value not in ("", None)}
    place = _place(path, described["line"])
    return Draft(
        kind="workflow",
        name=str(options.pop("name")),
        place=place,
        options=options,
        parts=tuple(_step(place, each) for each in described["steps"]),
    )


def _step(place: str, described: JSON) -> Draft:
    options = {name: value for name, value in described.items() if value not in ("", [])}
    return Draft(kind="step", name=str(options.pop("name", "")), place=place, options=options)


def _place(path: Path, line: int | None) -> str:
    return f"{path.name}:{line}" if line else path.name
