"""Asks a running Penstock, in the nouns of its API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from penstock.client.transport import Transport, problem, socket_path
from penstock.core import errors
from penstock.core.errors import FunctionFailed, NotFound, PenstockError

JSON = dict[str, Any]
PAGE = 1000
"""Most entries asked for at once."""
ENDED = ("succeeded", "failed", "cancelled")
LAG_S = 0.03
LAG_S_MAX = 3.0
"""What is committed lags behind the log: how often and how long to look again, in seconds."""
BATCH = "application/cloudevents-batch+json"


class Client:
    """A running Penstock.

    Every method raises ``Unavailable`` if it is not running, and otherwise what the server says is wrong, of
    its class in ``penstock.core.errors``. Answers are dicts with the members that the OpenAPI document names.

    Args:
        home: One folder for everything; default ``PENSTOCK_HOME``, else the XDG folders.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self._home = home
        self._transport = Transport(socket_path(home))

    # -- the installation --------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether somebody answers."""
        try:
            self._get("/health")
        except PenstockError:
            return False
        return True

    def status(self) -> JSON:
        """Return how the installation is."""
        return dict(self._get("/status"))

    def stop(self) -> None:
        """Begin to stop the installation."""
        self._post("/stop")

    def backup(self, folder: str | os.PathLike[str]) -> JSON:
        """Copy log and state into a new folder."""
        return dict(self._post("/backup", {"folder": os.path.abspath(folder)}))

    def page(self) -> str:
        """Return an address that opens the page once."""
        return str(self._post("/visits")["url"])

    def renew_token(self) -> None:
        """Draw another token; open pages, and programs that hold the former one, are shut out."""
        self._post("/token")

    # -- definitions -------------------------------------------------------------------------

    def deploy(
        self, file: str | os.PathLike[str], *, existing: bool = False, wheels: str | None = None
    ) -> JSON:
        """Deploy a file of definitions; blocks while its environment is made.

        It is read in a process of its own (``penstock deploy``), for to import a file is to run it.

        Raises:
            PenstockError: Why it was not deployed; the message is that of the command.
        """
        command = [sys.executable, "-m", "penstock", "deploy", os.fspath(file), "--json"]
        command += ["--existing"] if existing else []
        command += ["--wheels", wheels] if wheels else []
        command += ["--home", os.fspath(self._home)] if self._home else []
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            # What went before the error are lines of progress.
            said = f"\n{ended.stderr.strip()}".rpartition("\npenstock: ")[2]
            raise _by_code(ended.returncode)(said)
        return dict(json.loads(ended.stdout))

    def submit(self, deployment: JSON, *, existing: bool = False, dry_run: bool = False) -> JSON:
        """Deploy what was read from a file already; ``deploy`` is the whole way."""
        body = {"deployment": deployment, "existing": existing, "dry_run": dry_run}
        return dict(self._post("/deployments", body))

    def functions(self, name: str = "") -> list[JSON]:
        """Return every function at its newest version, or all versions of the one called ``name``."""
        return list(self._get(f"/functions/{_segment(name)}" if name else "/functions"))

    def workflows(self, name: str = "") -> list[JSON]:
        """Return every workflow at its newest version, or all versions of the one called ``name``."""
        return list(self._get(f"/workflows/{_segment(name)}" if name else "/workflows"))

    def triggers(self) -> list[JSON]:
        """Return the triggers."""
        return list(self._get("/triggers"))

    def change_trigger(
        self,
        name: str,
        *,
        paused: bool | None = None,
        catch_up: bool = True,
        workflow: str = "",
        filter: JSON | None = None,
    ) -> JSON:
        """Pause or resume a trigger, or let it start another version of its workflow.

        To that version belongs the filter that it was deployed with, unless another ``filter`` is given.
        """
        body: JSON = {"catch_up": catch_up, "workflow": workflow}
        if paused is not None:
            body["paused"] = paused
        if filter is not None:
            body["filter"] = filter
        return dict(self._ask("PATCH", f"/triggers/{_segment(name)}", body=body))

    def remove_trigger(self, name: str) -> JSON:
        """Remove a trigger; runs under way go on."""
        return dict(self._ask("DELETE", f"/triggers/{_segment(name)}"))

    # -- events ------------------------------------------------------------------------------

    def events(self, limit: int = 100, **query: Any) -> list[JSON]:
        """Return events, newest first.

        Args:
            limit: Most events.
            **query: ``since`` and ``until`` (offset or RFC 3339 time), ``filter`` (CESQL or JSON).
        """
        return list(self._pages("/events", "events", "until", limit, query))

    def event(self, offset: int) -> JSON:
        """Return one event and what became of it."""
        return dict(self._get(f"/events/{offset}"))

    def follow(self, **query: Any) -> Iterator[JSON]:
        """Yield events as they become durable. Blocks between them, and never ends by itself.

        Args:
            **query: ``since`` (offset or time; default: now), ``filter``.
        """
        for _, name, data in self._transport.stream("/events/stream", query):
            if name == "problem":
                raise problem(data)
            yield data

    def send(self, events: Sequence[Mapping[str, Any]]) -> list[JSON]:
        """Send CloudEvents; return, once all are on disk, which were new."""
        body = json.dumps(list(events)).encode()
        return list(self._transport.ask("POST", "/events", None, body, BATCH))

    def explain(self, path: str | os.PathLike[str], *, everything: bool = False) -> JSON:
        """Return why something ran, or did not, on a file; ``everything`` tells of all events about it."""
        query: JSON = {"path": located(path)} | ({"all": True} if everything else {})
        return dict(self._get("/explain", query))

    # -- runs --------------------------------------------------------------------------------

    def runs(self, limit: int = 100, **query: Any) -> list[JSON]:
        """Return runs, newest first.

        Args:
            limit: Most runs.
            **query: ``state``, ``workflow``, ``trigger``, ``path``.
        """
        return list(self._pages("/runs", "runs", "before", limit, query))

    def run(self, run: str) -> JSON:
        """Return a run with its steps, attempts and outputs."""
        return dict(self._get(f"/runs/{_segment(run)}"))

    def start(self, workflow: str, *, event: JSON | None = None, params: JSON | None = None) -> str:
        """Start a run by hand and return its id.

        Args:
            workflow: ``namespace/name``, with ``@version`` or without.
            event: CloudEvent that it works on.
            params: What the functions get as ``params``.
        """
        body: JSON = {"workflow": workflow, "params": params or {}}
        if event is not None:
            body["event"] = event
        return str(self._post("/runs", body)["run"])

    def call(self, function: str, params: JSON | None = None, *, event: JSON | None = None) -> Any:
        """Start a run, wait until it has ended, and return the answer of its last step. Blocks.

        Args:
            function: Name of a function or workflow; its namespace may be left out.
            params: What it gets as ``params``.
            event: CloudEvent that it works on.

        Raises:
            FunctionFailed: The run failed or was cancelled.
        """
        workflow = str(self.workflows(function)[-1]["reference"])
        whole = self.wait(self.start(workflow, event=event, params=params))
        if whole["run"]["phase"] != "succeeded":
            raise FunctionFailed(f"{function}: run {whole['run']['id']}: {whole['run']['error']}")
        return next((step["result"] for step in reversed(whole["steps"]) if step["result"] is not None), None)

    def wait(self, run: str) -> JSON:
        """Return a run once it has ended. Blocks."""
        end = self.status()["log_end"]
        whole = self._begun(run)
        if not whole["run"]["ended"]:
            kinds = {"any": [{"exact": {"type": f"penstock.run.{phase}"}} for phase in ENDED]}
            wanted = {"all": [{"exact": {"subject": run}}, kinds]}
            next(self.follow(since=end, filter=json.dumps(wanted)))
        while not whole["run"]["ended"]:
            time.sleep(LAG_S)
            whole = self.run(run)
        return whole

    def _begun(self, run: str) -> JSON:
        """Return a run that was just started: what is committed lags a little behind the log."""
        deadline = time.monotonic() + LAG_S_MAX
        while True:
            try:
                return self.run(run)
            except NotFound:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LAG_S)

    def cancel(self, run: str, reason: str = "") -> str:
        """Cancel a run and return its id."""
        body = {"reason": reason} if reason else {}
        return str(self._post(f"/runs/{_segment(run)}/cancel", body)["run"])

    def rerun(self, run: str, *, from_step: str = "", whole: bool = False) -> str:
        """Run a run again, from what failed, from a step, or as a whole; return the new run's id."""
        body = {"from_step": from_step, "whole": whole}
        return str(self._post(f"/runs/{_segment(run)}/rerun", body)["run"])

    def logs(self, run: str, **query: Any) -> bytes:
        """Return what a run's functions printed.

        Args:
            run: Its id.
            **query: ``step``, ``item``, ``attempt``.
        """
        return self._transport.raw("GET", f"/runs/{_segment(run)}/logs", query)

    def follow_logs(self, run: str, *, step: str = "", **query: Any) -> Iterator[JSON]:
        """Yield ``step`` and ``text`` as a run's functions print, until it has ended. Blocks between them.

        Args:
            run: Its id.
            step: Only this one; default: one step after another (of maps none).
            **query: ``item``, ``attempt``.
        """
        if step:
            yield from self._follow_step(run, step, query)
            return
        told: set[tuple[str, int]] = set()
        while True:
            end = self.status()["log_end"]
            whole = self._begun(run)
            begun = [(each["name"], each["attempt"]) for each in whole["steps"] if _is_call(each)]
            fresh = [each for each in begun if each not in told]
            for name, attempt in fresh:
                if whole["run"]["ended"]:
                    # Nothing more will come, not even the ends of tries that were cancelled.
                    text = self.logs(run, step=name, attempt=attempt).decode("utf-8", "replace")
                    yield {"step": name, "text": text}
                else:
                    yield from self._follow_step(run, name, {"attempt": attempt})
            told.update(fresh)
            if not fresh and whole["run"]["ended"]:
                return
            if not fresh:
                next(self.follow(since=end, filter=json.dumps({"exact": {"subject": run}})))
                time.sleep(LAG_S)

    def _follow_step(self, run: str, step: str, query: Mapping[str, Any]) -> Iterator[JSON]:
        chosen = {"step": step, "follow": True, **query}
        for _, name, data in self._transport.stream(f"/runs/{_segment(run)}/logs", chosen, ends=True):
            if name == "problem":
                raise problem(data)
            if name == "log":
                yield {"step": step, "text": data["text"]}

    def jobs(self, **query: Any) -> list[JSON]:
        """Return steps that are with a batch system."""
        return list(self._get("/jobs", query))

    # -- dead letters and replay -------------------------------------------------------------

    def dead_letters(self, limit: int = 100, **query: Any) -> list[JSON]:
        """Return dead letters, newest first.

        Args:
            limit: Most letters.
            **query: ``state`` (open, replayed, dropped or superseded), ``kind`` (notice, event, step or
                loop), ``subject`` (a glob), ``reason`` (a part of it).
        """
        return list(self._pages("/dead-letters", "dead_letters", "before", limit, query))

    def dead_letter(self, letter: str) -> JSON:
        """Return a dead letter with what it holds."""
        return dict(self._get(f"/dead-letters/{_segment(letter)}"))

    def replay_letter(self, letter: str, event: JSON | None = None) -> Any:
        """Try again what a dead letter holds, or ``event`` in its place."""
        body = {} if event is None else {"event": event}
        return self._post(f"/dead-letters/{_segment(letter)}/replay", body)

    def drop_letter(self, letter: str) -> Any:
        """Close a dead letter without another try."""
        return self._ask("DELETE", f"/dead-letters/{_segment(letter)}")

    def replay(
        self, trigger: str, since: str, until: str = "", *, again: bool = False, dry_run: bool = False
    ) -> JSON:
        """Run a trigger on events of the past; ``again`` also on those that it has run on."""
        body = {"trigger": trigger, "since": since, "until": until, "again": again, "dry_run": dry_run}
        return dict(self._post("/replay", body))

    # -- how ---------------------------------------------------------------------------------

    def _get(self, place: str, query: Mapping[str, Any] | None = None) -> Any:
        return self._ask("GET", place, query)

    def _post(self, place: str, body: JSON | None = None) -> Any:
        return self._ask("POST", place, body=body or {})

    def _ask(
        self, method: str, place: str, query: Mapping[str, Any] | None = None, body: JSON | None = None
    ) -> Any:
        return self._transport.ask(method, place, query, body)

    def _pages(
        self, place: str, noun: str, mark: str, limit: int, query: Mapping[str, Any]
    ) -> Iterator[JSON]:
        chosen = dict(query)
        while limit > 0:
            page = self._get(place, {**chosen, "limit": min(limit, PAGE)})
            yield from page[noun][:limit]
            limit -= len(page[noun])
            if page["next"] is None:
                return
            chosen[mark] = page["next"]


def located(path: str | os.PathLike[str]) -> str:
    """Return a path as events have it: absolute, and without links to folders."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def _segment(name: str) -> str:
    return quote(name, safe="")


def _is_call(step: JSON) -> bool:
    return bool(step["attempts"]) and step["items"] is None


def _by_code(code: int) -> type[PenstockError]:
    known = (errors.Failed, errors.Refused, errors.Unavailable, errors.Broken)
    return next((kind for kind in known if kind.exit_code == code), errors.Refused)
