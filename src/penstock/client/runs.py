"""Runs: started, waited for, looked at, run again; and what they printed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.client.asking import JSON, Asking, segment
from penstock.client.transport import problem
from penstock.core.errors import FunctionFailed, NotFound

ENDED = ("succeeded", "failed", "cancelled")
LAG_S = 0.03
LAG_S_MAX = 3.0
"""What is committed lags behind the log: how often and how long to look again, in seconds."""


ENDS = frozenset(f"penstock.run.{phase}" for phase in ("succeeded", "failed", "cancelled"))


class Runs(Asking):
    """What ran and runs."""

    def status(self) -> JSON:
        """Return how the installation is."""
        return dict(self._get("/status"))

    def follow(self, **query: Any) -> Iterator[JSON]:
        """Yield events as they become durable. Blocks between them, and never ends by itself.

        Args:
            **query: ``since`` (offset or time; default: now), ``filter``.
        """
        for _, name, data in self._transport.stream("/events/stream", query):
            if name == "problem":
                raise problem(data)
            yield data

    def runs(self, limit: int = 100, **query: Any) -> list[JSON]:
        """Return runs, newest first.

        Args:
            limit: Most runs.
            **query: ``state``, ``workflow``, ``trigger``, ``path``.
        """
        return list(self._pages("/runs", "runs", "before", limit, query))

    def run(self, run: str) -> JSON:
        """Return a run with its steps, attempts and outputs."""
        return dict(self._get(f"/runs/{segment(run)}"))

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
        workflow = str(self._newest(function)["reference"])
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
        return str(self._post(f"/runs/{segment(run)}/cancel", body)["run"])

    def rerun(self, run: str, *, from_step: str = "", whole: bool = False) -> str:
        """Run a run again, from what failed, from a step, or as a whole; return the new run's id."""
        body = {"from_step": from_step, "whole": whole}
        return str(self._post(f"/runs/{segment(run)}/rerun", body)["run"])

    def logs(self, run: str, **query: Any) -> bytes:
        """Return what a run's functions printed.

        Args:
            run: Its id.
            **query: ``step``, ``item``, ``attempt``.
        """
        return self._transport.raw("GET", f"/runs/{segment(run)}/logs", query)

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
        since, is_over = self.status()["log_end"], False
        while True:
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
                if not is_over:
                    news = next(self.follow(since=since, filter=json.dumps({"exact": {"subject": run}})))
                    since, is_over = news["offset"] + 1, news["event"]["type"] in ENDS
                time.sleep(LAG_S)  # what the log tells can be read in the state a little later

    def _follow_step(self, run: str, step: str, query: Mapping[str, Any]) -> Iterator[JSON]:
        chosen = {"step": step, "follow": True, **query}
        for _, name, data in self._transport.stream(f"/runs/{segment(run)}/logs", chosen, ends=True):
            if name == "problem":
                raise problem(data)
            if name == "log":
                yield {"step": step, "text": data["text"]}

    def jobs(self, **query: Any) -> list[JSON]:
        """Return steps that are with a batch system."""
        return list(self._get("/jobs", query))

    def _newest(self, workflow: str) -> JSON:
        return dict(self._get(f"/workflows/{segment(workflow)}")[-1])


def _is_call(step: JSON) -> bool:
    return bool(step["attempts"]) and step["items"] is None
