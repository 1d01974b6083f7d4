"""Drafts to definitions: defaults filled in, every option checked, names resolved."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeGuard

from penstock.core import template
from penstock.core.errors import Invalid
from penstock.core.event import DEPTH_MAX, FILE_CREATED, FILE_UPDATED, digest
from penstock.core.filter import parse
from penstock.core.function import Function, Kind, check_name
from penstock.core.retry import Retry
from penstock.core.workflow import MAP_ITEMS_MAX, Join, Step, Trigger, Workflow, validate
from penstock.workflows.deployment import Deployment
from penstock.workflows.draft import Document, Draft
from penstock.workflows.graph import ordered
from penstock.workflows.options import Options, shown
from penstock.workflows.sections import (
    after_of,
    batch_of,
    choice_of,
    command_of,
    limits_of,
    outputs_of,
    retry_of,
)

CONCURRENCY_MAX = 1024
STEPS_MAX = 1000
DEFINITIONS_MAX = 1000

LIMIT_OPTIONS = ("timeout_s", "memory", "processes", "log", "disk", "network")
FUNCTION_OPTIONS = ("on", "outputs", "concurrency", "retry", "batch", "summary", *LIMIT_OPTIONS)
WORKFLOW_OPTIONS = ("on", "depth_max", "own_outputs", "summary")
STEP_OPTIONS = (
    "function",
    "after",
    "join",
    "when",
    "each",
    "window",
    "tolerate",
    "retry",
    "batch",
    "outputs",
)
TRIGGER_OPTIONS = ("on", "workflow")
EXPECTED_ON = "expected a glob such as '*.nxs', a list of globs, or a CloudEvents filter"
_REFERENCE = re.compile(r"(?:(?P<namespace>[^/@]+)/)?(?P<name>[^/@]+)(?:@(?P<version>[1-9][0-9]{0,8}))?")


def assembled(document: Document, file: Path, tenant: str, principal: str, faults: list[str]) -> Deployment:
    """Return the definitions of ``document`` for ``tenant``; what is wrong goes to ``faults``."""
    return _Assembly(document, tenant, principal, faults).deployment(file)


class _Assembly:
    def __init__(self, document: Document, tenant: str, principal: str, faults: list[str]) -> None:
        self._document = document
        self._tenant = tenant
        self._principal = principal
        self._faults = faults
        self._drafts = {draft.name: draft for draft in document.functions}

    def deployment(self, file: Path) -> Deployment:
        document = self._document
        drafts = (*document.functions, *document.workflows, *document.triggers)
        if len(drafts) > DEFINITIONS_MAX:
            raise Invalid(f"{file.name}: {len(drafts)} definitions; a file may have {DEFINITIONS_MAX}")
        functions = tuple(self._function(draft) for draft in document.functions)
        workflows = [self._workflow(draft) for draft in document.workflows]
        alone = self._alone(document)
        workflows += [self._single(draft) for draft in alone]
        started = [draft for draft in (*document.workflows, *alone) if "on" in draft.options]
        triggers = [self._trigger(draft, draft.name) for draft in started]
        triggers += [self._named_trigger(draft) for draft in document.triggers]
        self._refuse_doubles(document.functions)
        self._refuse_doubles((*document.workflows, *alone))
        self._refuse_doubles((*started, *document.triggers))
        return Deployment(
            file=str(file),
            functions=functions,
            workflows=tuple(workflows),
            triggers=tuple(triggers),
            files={self._qualified(draft.name): draft.files for draft in document.functions},
        )

    def _alone(self, document: Document) -> list[Draft]:
        """Return the functions that no workflow of the file uses; each is a workflow of its own."""
        users: dict[str, str] = {}
        for workflow in document.workflows:
            for step in workflow.parts:
                users.setdefault(self._bare(step.options.get("function", step.name)), workflow.name)
        for draft in document.functions:
            if draft.name in users and "on" in draft.options:
                self._faults.append(
                    draft.fault(
                        f"is given, but the function is a step of workflow {users[draft.name]!r}, which "
                        "starts it; give it to the workflow instead",
                        "on",
                    )
                )
        return [draft for draft in document.functions if draft.name not in users]

    def _bare(self, reference: Any) -> str:
        text = str(reference)
        return text.removeprefix(f"{self._tenant}/") if "@" not in text else text

    def _refuse_doubles(self, drafts: tuple[Draft, ...]) -> None:
        first: dict[str, Draft] = {}
        for draft in drafts:
            if draft.name in first:
                other = first[draft.name]
                self._faults.append(draft.fault(f"the name is taken by the {other.kind} at {other.place}"))
            first.setdefault(draft.name, draft)

    def _qualified(self, name: str) -> str:
        return f"{self._tenant}/{name}"

    def _name(self, draft: Draft) -> str:
        try:
            check_name(draft.kind, draft.name)
        except Invalid as error:
            self._faults.append(f"{draft.place}: {error}")
        return self._qualified(draft.name)

    def _function(self, draft: Draft) -> Function:
        options = Options(draft, self._faults)
        options.only(*FUNCTION_OPTIONS, *([] if draft.entry else ["command"]))
        if draft.flaw:
            options.fault("", draft.flaw)
        batch = batch_of(options)
        retry_of(options)
        return Function(
            tenant=self._tenant,
            name=self._name(draft),
            version=0,
            kind=Kind.PYTHON if draft.entry else Kind.COMMAND,
            entry=draft.entry,
            command=command_of(options) if not draft.entry else (),
            outputs=outputs_of(options) or template.DEFAULT,
            concurrency=options.whole("concurrency", 0, 1, CONCURRENCY_MAX),
            limits=limits_of(options, batch.cores if batch else 1),
            summary=options.text("summary"),
        )

    def _single(self, draft: Draft) -> Workflow:
        silent = Options(draft, [])
        step = Step(
            name=draft.name,
            function=self._qualified(draft.name),
            retry=retry_of(silent) or Retry(),
            batch=batch_of(silent),
        )
        return Workflow(
            tenant=self._tenant,
            name=self._qualified(draft.name),
            version=0,
            steps=(step,),
            summary=silent.text("summary"),
        )

    def _workflow(self, draft: Draft) -> Workflow:
        options = Options(draft, self._faults)
        options.only(*WORKFLOW_OPTIONS)
        if not 0 < len(draft.parts) <= STEPS_MAX:
            options.fault("", f"has {len(draft.parts)} steps; expected 1 to {STEPS_MAX}")
        before = len(self._faults)
        steps = [(part, self._step(part)) for part in draft.parts]
        workflow = Workflow(
            tenant=self._tenant,
            name=self._name(draft),
            version=0,
            steps=ordered(steps, draft, self._faults),
            depth_max=options.whole("depth_max", DEPTH_MAX, 1, 1000),
            own_outputs=options.flag("own_outputs", False),
            summary=options.text("summary"),
        )
        if len(self._faults) == before:
            self._validate(draft, workflow)
        return workflow

    def _validate(self, draft: Draft, workflow: Workflow) -> None:
        """Add what the run's state machine would object to, conditions above all."""
        try:
            validate(workflow)
        except Invalid as error:
            self._faults += [draft.fault(fault) for fault in error.faults]

    def _step(self, draft: Draft) -> Step:
        options = Options(draft, self._faults)
        options.only(*STEP_OPTIONS)
        self._name(draft)
        reference = options.text("function", draft.name)
        # A function of this file brings its own retry and batch, unless the step has others.
        own = self._drafts.get(self._bare(reference))
        defaults = Options(own, []) if own is not None else options
        return Step(
            name=draft.name,
            function=self._reference(options, reference, "function"),
            after=after_of(options),
            join=Join(choice_of(options, "join", "all", tuple(Join))),
            when=options.text("when"),
            each=options.text("each"),
            window=options.whole("window", 64, 1, 4096),
            tolerate=options.whole("tolerate", 0, 0, MAP_ITEMS_MAX),
            retry=retry_of(options) or retry_of(defaults) or Retry(),
            batch=batch_of(options) or batch_of(defaults),
            outputs=outputs_of(options),
        )

    def _reference(self, options: Options, reference: str, option: str) -> str:
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            options.fault(option, f"is {reference!r}; expected a name, 'namespace/name' or 'name@version'")
            return self._qualified("unknown")
        if match["namespace"] not in (None, self._tenant):
            options.fault(option, f"is {reference!r}; only what is in {self._tenant!r} can be used")
        version = f"@{match['version']}" if match["version"] else ""
        return self._qualified(match["name"]) + version

    def _trigger(self, draft: Draft, workflow: str) -> Trigger:
        name = self._qualified(draft.name)
        return Trigger(
            id=digest(self._tenant.encode(), name.encode()),
            tenant=self._tenant,
            principal=self._principal,
            name=name,
            filter=self._filter(draft),
            workflow=self._qualified(workflow),
        )

    def _named_trigger(self, draft: Draft) -> Trigger:
        options = Options(draft, self._faults)
        options.only(*TRIGGER_OPTIONS)
        self._name(draft)
        for name in TRIGGER_OPTIONS:
            if not options.has(name):
                options.fault("", f"has no {name!r}")
        workflow = self._reference(options, options.text("workflow", draft.name), "workflow")
        trigger = self._trigger(draft, draft.name)
        return Trigger(
            id=trigger.id,
            tenant=trigger.tenant,
            principal=trigger.principal,
            name=trigger.name,
            filter=trigger.filter,
            workflow=workflow,
        )

    def _filter(self, draft: Draft) -> dict[str, Any]:
        on = draft.options.get("on")
        if _is_glob(on):
            return self._checked(draft, new_content(on))
        if isinstance(on, list) and on and all(map(_is_glob, on)):
            return self._checked(draft, new_content(*on))
        if isinstance(on, dict) and on:
            return self._checked(draft, on)
        self._faults.append(draft.fault(f"is {shown(on)}; {EXPECTED_ON}", "on"))
        return {}

    def _checked(self, draft: Draft, document: dict[str, Any]) -> dict[str, Any]:
        """Return ``document``; what the filter language objects to goes to the faults, each at its place."""
        try:
            parse(document)
        except Invalid as error:
            for fault in error.faults:
                pointer, _, message = fault.partition(": ")
                self._faults.append(draft.fault_within("on", pointer, message))
        return document


def _is_glob(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def new_content(*globs: str) -> dict[str, Any]:
    """Return the filter that ``on="*.nxs"`` or a list is short for: new content at such a path."""
    kinds = [{"exact": {"type": kind}} for kind in (FILE_CREATED, FILE_UPDATED)]
    paths = [{"glob": {"path": glob}} for glob in globs]
    return {"all": [{"any": kinds}, paths[0] if len(paths) == 1 else {"any": paths}]}
