"""Decorators that say what a function is called, what starts it, and what it may use.

They only attach a definition to the plain function, so that it can be called and tested as ever.
The definitions are read by ``penstock deploy``; all checks happen there, with the place named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

Plain = Callable[..., Any]
AnyPlain = TypeVar("AnyPlain", bound=Plain)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often (``attempts`` altogether) and how patiently (seconds) a step is tried."""

    attempts: int = 1
    delay_s: float = 1.0
    factor: float = 2.0
    delay_s_max: float = 300.0
    jitter: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a step asks of a batch system: ``memory`` as ``"4GiB"``, wall time in seconds."""

    system: str = "local"
    cores: int = 1
    memory: str | int = "1GiB"
    walltime_s: float = 3600.0


def batch(
    *, system: str = "local", cores: int = 1, memory: str | int = "1GiB", walltime_s: float = 3600.0
) -> Batch:
    """Return what to ask of a batch system; give it to ``function(batch=…)`` or ``step(batch=…)``."""
    return Batch(system=system, cores=cores, memory=memory, walltime_s=walltime_s)


@dataclass(frozen=True, kw_only=True)
class FunctionDefinition:
    """What the decorator was told; ``None`` means the default."""

    name: str
    on: str | Sequence[str] | dict[str, Any] | None = None
    outputs: str | None = None
    timeout_s: float | None = None
    memory: str | int | None = None
    processes: int | None = None
    log: str | int | None = None
    disk: str | int | None = None
    network: bool | None = None
    concurrency: int | None = None
    retry: Retry | None = None
    batch: Batch | None = None


@overload
def function(plain: AnyPlain, /) -> AnyPlain: ...
@overload
def function(*, name: str | None = None, **options: Any) -> Callable[[AnyPlain], AnyPlain]: ...
def function(plain: Plain | None = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a plain function deployable.

    Args:
        plain: The function, when used without parentheses.
        name: What it is called; default: its own name with ``-`` for ``_``.
        **options: Fields of ``FunctionDefinition``: ``on`` (a glob such as ``"raw/**/*.nxs"``, a list of
            globs, or a CloudEvents filter), ``outputs`` (template of published paths), ``timeout_s``,
            ``memory``, ``processes``, ``log`` and ``disk`` (most bytes printed and written), ``network``,
            ``concurrency``, ``retry``, ``batch``.
    """

    def attach(target: Plain) -> Plain:
        own_name = name or target.__name__.replace("_", "-").strip("-")
        target.__penstock__ = FunctionDefinition(name=own_name, **options)  # type: ignore[attr-defined]
        return target

    return attach if plain is None else attach(plain)


@dataclass(frozen=True, kw_only=True)
class StepDefinition:
    """One step: the plain function (or the name of a deployed one) and how it hangs in the graph."""

    name: str
    function: Plain | str
    after: tuple[str, ...] = ()
    join: str = "all"
    when: str = ""
    each: str = ""
    window: int = 64
    tolerate: int = 0
    retry: Retry | None = None
    batch: Batch | None = None
    outputs: str = ""


@dataclass(kw_only=True)
class WorkflowDefinition:
    """A graph of steps under construction; ``step`` adds to it."""

    name: str
    on: str | Sequence[str] | dict[str, Any] | None = None
    depth_max: int | None = None
    own_outputs: bool = False
    summary: str = ""
    steps: list[StepDefinition] = field(default_factory=list)

    def step(
        self,
        function: Plain | str,
        *,
        after: str | StepDefinition | Sequence[str | StepDefinition] = (),
        name: str | None = None,
        **options: Any,
    ) -> StepDefinition:
        """Add a step and return it, to be named in a later step's ``after``.

        Args:
            function: A decorated function of this file, or the name of a deployed one.
            after: Step or steps that come before it.
            name: Default: the function's name.
            **options: Other fields of ``StepDefinition``.
        """
        before = [after] if isinstance(after, str | StepDefinition) else list(after)
        own_name = name or _name_of(function)
        step = StepDefinition(
            name=own_name,
            function=function,
            after=tuple(other if isinstance(other, str) else other.name for other in before),
            **options,
        )
        self.steps.append(step)
        return step


def workflow(
    name: str,
    *,
    on: str | Sequence[str] | dict[str, Any] | None = None,
    depth_max: int | None = None,
    own_outputs: bool = False,
    summary: str = "",
) -> WorkflowDefinition:
    """Begin a workflow: ``scan = workflow("scan", on="*.h5"); scan.step(…)``."""
    return WorkflowDefinition(name=name, on=on, depth_max=depth_max, own_outputs=own_outputs, summary=summary)


def _name_of(function: Plain | str) -> str:
    if isinstance(function, str):
        return function.rsplit("/", 1)[-1].split("@", 1)[0]
    definition = getattr(function, "__penstock__", None)
    return definition.name if definition is not None else function.__name__.replace("_", "-").strip("-")
