"""What is deployed, and what a trigger was before."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.core import lifecycle
from penstock.core.lifecycle import Deployed, TriggerChange
from penstock.core.ports import Record
from penstock.core.rows import Definition, DefinitionKind
from penstock.core.workflow import Trigger
from penstock.workflows.registry import FORMER_MAX, Registry

ON: dict[str, Any] = {"exact": {"type": "one"}}
OFF: dict[str, Any] = {"exact": {"type": "two"}}


class Store:
    """Definitions in memory, by their key."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, int], Definition] = {}

    def put(self, *rows: Definition) -> None:
        self.rows |= {(row.kind, row.name, row.version): row for row in rows}

    def select(self, kind: type[Definition]) -> list[Definition]:
        assert kind is Definition
        return list(self.rows.values())


def registry(store: Store) -> Registry:
    made = Registry(store, lambda _trigger, _id: None)
    made.load()
    return made


def trigger(version: int, filter_: dict[str, Any] = ON) -> Trigger:
    return Trigger(id="t", tenant="a", principal="p", name="a/w", filter=filter_, workflow=f"a/w@{version}")


def deploy(known: Registry, *triggers: Trigger, offset: int = 1) -> None:
    data = Deployed(
        tenant="a",
        principal="p",
        functions=[],
        workflows=[],
        triggers=[msgspec.to_builtins(each) for each in triggers],
    )
    event = lifecycle.request_event(lifecycle.DEPLOYED, data, f"d{offset}", "x")
    known.fold(Record(0, offset, offset, event))


def test_each_deployed_form_of_a_trigger_is_remembered_once_and_over_a_restart() -> None:
    store = Store()
    known = registry(store)
    for offset, each in enumerate((trigger(1), trigger(1), trigger(1, OFF), trigger(2, OFF), trigger(1)), 1):
        deploy(known, each, offset=offset)
    forms = [(1, "a/w@1", ON), (2, "a/w@1", OFF), (3, "a/w@2", OFF)]
    for seen in (known, registry(store)):
        assert [(n, t.workflow, t.filter) for n, t in seen.former["t"].items()] == forms
        assert list(seen.triggers) == ["t"]
        assert seen.filter_with(seen.triggers["t"], "a/w@1") == OFF
        assert seen.filter_with(seen.triggers["t"], "a/w@9") is None
    assert not any(row.active for (_, _, version), row in store.rows.items() if version)


def test_what_was_deployed_before_penstock_remembered_is_remembered_at_the_next_deployment() -> None:
    store = Store()
    deploy(registry(store), trigger(1))
    del store.rows[DefinitionKind.TRIGGER, "a/w", 1]
    known = registry(store)
    deploy(known, trigger(2, OFF), offset=2)
    assert [each.filter for each in known.former["t"].values()] == [ON, OFF]


def test_a_change_takes_version_and_filter_back_and_leaves_what_is_remembered() -> None:
    known = registry(Store())
    deploy(known, trigger(1), offset=1)
    deploy(known, trigger(2, OFF), offset=2)
    back = TriggerChange(tenant="a", principal="p", id="t", workflow="a/w@1", filter=ON)
    known.fold(Record(0, 3, 3, lifecycle.request_event(lifecycle.TRIGGER_CHANGED, back, "c", "t")))
    assert (known.triggers["t"].workflow, known.triggers["t"].filter) == ("a/w@1", ON)
    assert list(known.former["t"]) == [1, 2]


def test_only_so_many_forms_are_remembered() -> None:
    known = registry(Store())
    for version in range(1, FORMER_MAX + 3):
        deploy(known, trigger(version), offset=version)
    assert list(known.former["t"]) == list(range(3, FORMER_MAX + 3))
