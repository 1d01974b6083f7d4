"""Runs an installation: the engine in this process, the API in a child, until told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Collection

import msgspec
import uvloop
from msgspec.structs import asdict

from penstock.core.errors import Invalid, PenstockError
from penstock.functions import cgroup
from penstock.server import messages, serve_log
from penstock.server.channel import Channel
from penstock.server.commands import embedded_commands
from penstock.server.embedded import build
from penstock.server.roles import ROLES
from penstock.server.settings import Places, Settings

logger = logging.getLogger("penstock")
API_AGAIN_S = 1.0
"""How long after its end the API is started again."""
SWITCH_S = 0.0005
"""How long another thread may keep the interpreter when the loop wants it."""


def serve(
    settings: Settings,
    places: Places,
    *,
    api: bool = True,
    started: Callable[[], None] | None = None,
    roles: Collection[str] = (),
) -> None:
    """Run until SIGINT, SIGTERM or a ``stop`` command.

    Args:
        settings: What the operator wants.
        places: Where things are kept.
        api: Whether to start the API process, too.
        started: Called when sources run and the channel listens.
        roles: What this process of a site does; none means everything.

    Raises:
        PenstockError: It cannot start, or a part of it ended.
    """
    sys.setswitchinterval(SWITCH_S)
    group = cgroup.prepare() or ""  # it forks, so it comes before loop and threads
    tell = started or (lambda: None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if settings.postgres is None:
            if roles:
                raise Invalid("roles are for a site: set [kafka] and [postgres], or leave --role out")
            runner.run(_serve(settings, places, api, tell, group))
        else:
            from penstock.server.site.process import serve_site  # needs extras

            runner.run(serve_site(settings, places, roles or ROLES, tell, group, _keep_api if api else None))


async def _serve(
    settings: Settings, places: Places, api: bool, started: Callable[[], None], group: str
) -> None:
    loop = asyncio.get_running_loop()
    channel: Channel | None = None

    def synced(end: int) -> None:
        if channel is not None:
            channel.durable_to(end)

    engine = build(settings, places, synced, group)
    channel = Channel(places.runtime / "engine.sock", embedded_commands(engine).handle)
    pump = engine.parts.pump
    engine.parts.checkpoint.report(lambda: pump.folded, channel.committed_to)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, engine.life.stopping.set)
    try:
        await channel.open()
        await engine.start()
        channel.durable_to(engine.shown_end())
        await engine.parts.checkpoint.durable()
        channel.committed_to(pump.folded)
        if api:
            engine.life.spawn("api", _keep_api(places, engine.life.stopping))
        gc.collect()
        gc.freeze()
        started()
        await engine.life.stopping.wait()
    finally:
        await channel.close()
        await engine.stop()
    if engine.life.failure is not None:
        raise engine.life.failure


async def _keep_api(places: Places, stopping: asyncio.Event) -> None:
    """Run the API process, and start it again when it ends by itself."""
    environment = {**os.environ, "PENSTOCK_PLACES": places_text(places)}
    while not stopping.is_set():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "penstock.server.api", env=environment, stdin=asyncio.subprocess.PIPE
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        logger.error("the API process ended with %s; it is started again", code)
        await asyncio.sleep(API_AGAIN_S)


def places_text(places: Places) -> str:
    """Return ``places`` in the form that the API process reads from its environment: a JSON object."""
    return msgspec.json.encode({name: str(path) for name, path in asdict(places).items()}).decode()


def main(settings: Settings, places: Places, *, api: bool = True, roles: Collection[str] = ()) -> int:
    """Serve, and return an exit code; errors are told on standard error."""
    serve_log.start()
    messages.take_form(settings.messages)
    try:
        serve(settings, places, api=api, roles=roles)
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)  # noqa: T201 - the terminal is who asked
        return error.exit_code
    return 0
