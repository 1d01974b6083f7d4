"""YAML with lines: plain values of YAML 1.2's core schema, and where each of them is written.

So ``on`` is a word and not a boolean, ``010`` and dates are texts, as in JSON and its schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from penstock.core.errors import Invalid

VALUES_MAX = 100_000
"""Values in one file, those that aliases repeat counted again."""
DEPTH_MAX = 32

Where = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Without the resolvers of YAML 1.1; those of the core schema are added below."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's way)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"~|null|"), ["~", "n", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?\Z"),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class Tree:
    """A document's values and lines.

    Attributes:
        value: Mappings, lists, texts, numbers, booleans and None.
        lines: Line of each key or element, from 1.
    """

    value: Any
    lines: dict[Where, int] = field(default_factory=dict)

    def at(self, where: Where) -> Any:
        """Return the value at ``where``, or None."""
        value = self.value
        for key in where:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def line(self, where: Where) -> int:
        """Return the line of ``where``, or of the nearest thing around it."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)


def parse(path: Path) -> Tree:
    """Return the single document in ``path``.

    Raises:
        Invalid: It is no YAML, has two equal keys, or is too large once its aliases are followed.
    """
    try:
        # The loader is a safe one: it makes plain values only.
        loader = _Loader(path.read_bytes())
        try:
            node = loader.get_single_node()
            return _Builder(path.name, loader).tree(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path.name}:{mark.line + 1}" if mark else path.name
        snippet = f"\n{mark.get_snippet()}" if mark else ""
        raise Invalid(f"{place}: not YAML: {error.problem}{snippet}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Invalid(f"{path.name}: not YAML: {error}") from error
    except RecursionError as error:
        raise Invalid(f"{path.name}: nested more than {DEPTH_MAX} deep") from error


class _Builder:
    def __init__(self, name: str, loader: _Loader) -> None:
        self._name = name
        self._loader = loader
        self._lines: dict[Where, int] = {}
        self._left = VALUES_MAX

    def tree(self, node: yaml.Node | None) -> Tree:
        return Tree(self._value(node, ()) if node is not None else None, self._lines)

    def _value(self, node: yaml.Node, where: Where) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Invalid(f"{self._place(node)}: more than {VALUES_MAX} values, aliases followed")
        if len(where) > DEPTH_MAX:
            raise Invalid(f"{self._place(node)}: nested more than {DEPTH_MAX} deep")
        self._lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(each, (*where, index)) for index, each in enumerate(node.value)]
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise Invalid(f"{self._place(key)}: a key must be a text")
            if key.value in mapping:
                raise Invalid(f"{self._place(key)}: key {key.value!r} stands here twice; remove one")
            self._lines[(*where, key.value)] = key.start_mark.line + 1
            mapping[key.value] = self._value(value, (*where, key.value))
        return mapping

    def _place(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"
