"""Options that functions and steps share, from drafts to the nouns of ``core``."""

from __future__ import annotations

from penstock.core import template
from penstock.core.errors import Invalid
from penstock.core.function import Limits
from penstock.core.retry import Retry
from penstock.core.workflow import Batch
from penstock.workflows.options import Options, suggestion

TIMEOUT_S_MAX = 7 * 86400.0
ATTEMPTS_MAX = 100
PROCESSES_MAX = 4096
CORES_MAX = 4096


def limits_of(options: Options, cores: int) -> Limits:
    """Return what one invocation may use."""
    default = Limits()
    return Limits(
        timeout_s=options.number("timeout_s", default.timeout_s, 0.01, TIMEOUT_S_MAX),
        memory_bytes=options.size("memory", default.memory_bytes),
        processes=options.whole("processes", default.processes, 1, PROCESSES_MAX),
        log_bytes=options.size("log", default.log_bytes),
        file_bytes=options.size("disk", default.file_bytes),
        cores=cores,
        network=options.flag("network", default.network),
    )


def retry_of(options: Options) -> Retry | None:
    """Return how a step is tried again, or None if nothing was said."""
    part = options.part("retry")
    if part is None:
        return None
    default = Retry()
    part.only("attempts", "delay_s", "factor", "delay_s_max", "jitter")
    return Retry(
        attempts=part.whole("attempts", default.attempts, 1, ATTEMPTS_MAX),
        delay_s=part.number("delay_s", default.delay_s, 0, TIMEOUT_S_MAX),
        factor=part.number("factor", default.factor, 1, 100),
        delay_s_max=part.number("delay_s_max", default.delay_s_max, 0, TIMEOUT_S_MAX),
        jitter=part.number("jitter", default.jitter, 0, 1),
    )


def batch_of(options: Options) -> Batch | None:
    """Return what is asked of a batch system, or None if nothing was said."""
    part = options.part("batch")
    if part is None:
        return None
    default = Batch()
    part.only("system", "cores", "memory", "walltime_s")
    return Batch(
        system=part.text("system", default.system),
        cores=part.whole("cores", default.cores, 1, CORES_MAX),
        memory_bytes=part.size("memory", default.memory_bytes),
        walltime_s=part.number("walltime_s", default.walltime_s, 1, 52 * TIMEOUT_S_MAX),
    )


def outputs_of(options: Options) -> str:
    """Return the template of output names, or nothing."""
    text = options.text("outputs")
    if text:
        try:
            template.check(text)
        except Invalid as error:
            options.fault("outputs", f"is no template: {error}")
    return text


def command_of(options: Options) -> tuple[str, ...]:
    """Return a command's words."""
    command = options.texts("command")
    if options.has("command") and not command:
        options.fault("command", "is empty; expected a program and its arguments")
    return command


def after_of(options: Options) -> tuple[str, ...]:
    """Return the steps before a step: one name, or a list of names."""
    return (options.text("after"),) if options.is_text("after") else options.texts("after")


def choice_of(options: Options, name: str, default: str, known: tuple[str, ...]) -> str:
    """Return the option ``name``, one of ``known``."""
    value = options.text(name, default)
    if value in known:
        return value
    options.fault(name, f"is {value!r}; {suggestion(value, [str(each) for each in known])}")
    return default
