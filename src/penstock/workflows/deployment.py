"""What a checked file of definitions deploys, before versions are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from penstock.core.errors import Invalid
from penstock.core.function import Function
from penstock.core.workflow import Step, Trigger, Workflow

_Versioned = TypeVar("_Versioned", Function, Workflow)


class Deployment(Struct, frozen=True, kw_only=True):
    """The definitions of one file, checked; versions are 0 and references without ``@`` until ``pin``.

    Attributes:
        file: Absolute path of the file.
        functions: Without version, code and interpreter.
        workflows: A function that no workflow of the file uses has one of its own, of one step.
        triggers: One for each ``on``.
        files: For each function's name: what its deployed copy consists of, relative to the file's
            folder; may be patterns.
    """

    file: str
    functions: tuple[Function, ...]
    workflows: tuple[Workflow, ...]
    triggers: tuple[Trigger, ...]
    files: dict[str, tuple[str, ...]]


def pin(deployment: Deployment, functions: Mapping[str, int], workflows: Mapping[str, int]) -> Deployment:
    """Return ``deployment`` with versions: its own, and those that its steps and triggers refer to.

    Args:
        deployment: As read.
        functions: ``namespace/name`` to version: the file's own, and all that are deployed already.
        workflows: The same for workflows.

    Raises:
        Invalid: A step or trigger names what is neither in the file nor deployed; all are named.
    """
    faults: list[str] = []
    pinned = replace(
        deployment,
        functions=tuple(_versioned(each, functions) for each in deployment.functions),
        workflows=tuple(
            replace(
                _versioned(each, workflows),
                steps=tuple(_pinned(each, step, functions, faults) for step in each.steps),
            )
            for each in deployment.workflows
        ),
        triggers=tuple(_pinned_trigger(each, workflows, faults) for each in deployment.triggers),
    )
    if faults:
        raise Invalid(f"{deployment.file} names what is not deployed:", tuple(faults))
    return pinned


def _versioned(definition: _Versioned, versions: Mapping[str, int]) -> _Versioned:
    return replace(definition, version=versions[definition.name])


def _pinned(workflow: Workflow, step: Step, versions: Mapping[str, int], faults: list[str]) -> Step:
    reference = _reference(step.function, versions)
    if reference is None:
        faults.append(
            f"workflow {workflow.name!r}, step {step.name!r}: no function {step.function!r} in this file "
            "or deployed; deploy it first, or define it here"
        )
        return step
    return replace(step, function=reference)


def _pinned_trigger(trigger: Trigger, versions: Mapping[str, int], faults: list[str]) -> Trigger:
    reference = _reference(trigger.workflow, versions)
    if reference is None:
        faults.append(f"trigger {trigger.name!r}: no workflow {trigger.workflow!r} in this file or deployed")
        return trigger
    return replace(trigger, workflow=reference)


def _reference(name: str, versions: Mapping[str, int]) -> str | None:
    bare, _, version = name.partition("@")
    latest = versions.get(bare, 0)
    wanted = int(version) if version else latest
    return f"{bare}@{wanted}" if 1 <= wanted <= latest else None
