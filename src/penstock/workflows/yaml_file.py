"""A YAML file of definitions as drafts; ``schemas/definitions-1.json`` says the same for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.core.errors import Invalid
from penstock.workflows.draft import Document, Draft
from penstock.workflows.options import shown, suggestion
from penstock.workflows.yaml_tree import Tree, Where, parse

SECTIONS = ("functions", "workflows", "triggers")
DRAFT_DEPTH = 2
"""``functions / NAME``"""
STEP_DEPTH = 4
"""``workflows / NAME / steps / NAME``"""
JSON = dict[str, Any]


def document_in(path: Path, describe: Any, faults: list[str]) -> Document:
    """Return what the YAML file at ``path`` defines.

    Args:
        path: The file.
        describe: Tells what a Python file that it names defines.
        faults: Receives what is wrong with its structure, with lines.

    Raises:
        Invalid: It is no YAML, or defines nothing.
    """
    reader = _Reader(path, parse(path), describe, faults)
    return reader.document()


class _Reader:
    def __init__(self, path: Path, tree: Tree, describe: Any, faults: list[str]) -> None:
        self._path = path
        self._tree = tree
        self._describe = describe
        self._faults = faults
        self._lines = _lines_within(tree)

    def document(self) -> Document:
        value = self._tree.value
        if not isinstance(value, dict) or not any(value.get(section) for section in SECTIONS):
            raise Invalid(
                f"{self._path.name}: expected a mapping with 'functions', 'workflows' or 'triggers'"
            )
        for name in value:
            if name not in (*SECTIONS, "$schema"):
                self._fault((name,), f"unknown section {name!r}; {suggestion(name, SECTIONS)}")
        return Document(
            functions=tuple(self._function(draft) for draft in self._drafts("function")),
            workflows=tuple(self._workflow(draft) for draft in self._drafts("workflow")),
            triggers=self._drafts("trigger"),
        )

    def _drafts(self, kind: str) -> tuple[Draft, ...]:
        return self._drafts_at((f"{kind}s",), kind)

    def _drafts_at(self, where: tuple[str, ...], kind: str) -> tuple[Draft, ...]:
        section = self._tree.at(where)
        if section is None:
            return ()
        if not isinstance(section, dict):
            self._fault(where, f"{where[-1]} is {shown(section)}; expected a mapping from names to options")
            return ()
        return tuple(self._draft((*where, name), kind, name, options) for name, options in section.items())

    def _draft(self, where: tuple[str, ...], kind: str, name: str, options: Any) -> Draft:
        if not isinstance(options, dict):
            self._fault(where, f"{kind} {name!r} is {shown(options)}; expected a mapping of options")
            options = {}
        places = {inner: f"{self._path.name}:{line}" for inner, line in self._lines.get(where, {}).items()}
        return Draft(kind=kind, name=name, place=self._place(where), options=options, places=places)

    def _workflow(self, draft: Draft) -> Draft:
        steps = self._drafts_at(("workflows", draft.name, "steps"), "step")
        options = {name: value for name, value in draft.options.items() if name != "steps"}
        return _changed(draft, options=options, parts=steps)

    def _function(self, draft: Draft) -> Draft:
        options = dict(draft.options)
        python, include = options.pop("python", None), options.pop("include", [])
        if not isinstance(include, list) or not all(isinstance(each, str) and each for each in include):
            self._faults.append(draft.fault(f"is {shown(include)}; expected a list of file names", "include"))
            include = []
        if (python is None) == ("command" not in options):
            self._faults.append(
                draft.fault("expected either 'command: [program, …]' or 'python: file.py:name'")
            )
            return _changed(draft, options=options, files=tuple(include))
        if python is None:
            return _changed(draft, options=options, files=(*self._named_files(options["command"]), *include))
        return self._python(_changed(draft, options=options, files=tuple(include)), python)

    def _named_files(self, command: Any) -> list[str]:
        """Return those of a command's words that are files beside the YAML file."""
        words = command if isinstance(command, list) else []
        names = [str(word).removeprefix("./") for word in words if isinstance(word, str) and word]
        return [name for name in names if not name.startswith("/") and (self._path.parent / name).is_file()]

    def _python(self, draft: Draft, entry: Any) -> Draft:
        file, _, attribute = entry.partition(":") if isinstance(entry, str) else ("", "", "")
        if not file.endswith(".py") or not attribute.isidentifier():
            self._faults.append(draft.fault(f"is {shown(entry)}; expected 'file.py:name'", "python"))
            return draft
        place = self._path.parent / file
        if Path(file).name != file or not place.is_file():
            message = f"is {entry!r}, but there is no file {file!r} beside {self._path.name}"
            self._faults.append(draft.fault(message, "python"))
            return draft
        return self._described(draft, file, attribute)

    def _described(self, draft: Draft, file: str, attribute: str) -> Draft:
        try:
            described = self._describe(self._path.parent / file)
        except Invalid as error:
            self._faults.append(draft.fault(f"cannot be used: {error}", "python"))
            return draft
        found = {each["attribute"]: each for each in (*described["plain"], *described["functions"])}
        if attribute not in found:
            message = (
                f"names no function {attribute!r} in {file}; {suggestion(attribute, filter(None, found))}"
            )
            self._faults.append(draft.fault(message, "python"))
            return draft
        callable_ = found[attribute]
        # What the decorator says stands unless the YAML says otherwise; name and trigger are the YAML's.
        defaults = {k: v for k, v in callable_.get("options", {}).items() if k not in ("name", "on")}
        summary = {"summary": callable_["summary"]} if callable_["summary"] else {}
        return _changed(
            draft,
            options={**summary, **defaults, **draft.options},
            entry=f"{file}:{attribute}",
            files=(file, *described["modules"], *described.get("include", ()), *draft.files),
            flaw=callable_["arguments"],
        )

    def _place(self, where: tuple[str, ...]) -> str:
        return f"{self._path.name}:{self._tree.line(where)}"

    def _fault(self, where: tuple[str, ...], message: str) -> None:
        self._faults.append(f"{self._place(where)}: {message}")


def _lines_within(tree: Tree) -> dict[Where, dict[str, int]]:
    """Return, for each draft's place in the tree, the lines of all that is below it."""
    found: dict[Where, dict[str, int]] = {}
    for where, line in tree.lines.items():
        for depth in (DRAFT_DEPTH, STEP_DEPTH):
            if len(where) > depth:
                found.setdefault(where[:depth], {})["/".join(map(str, where[depth:]))] = line
    return found


def _changed(draft: Draft, **changes: Any) -> Draft:
    return Draft(**{**{name: getattr(draft, name) for name in draft.__dataclass_fields__}, **changes})
