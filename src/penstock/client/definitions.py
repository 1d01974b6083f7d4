"""Functions, workflows and triggers: deployed, listed, changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from penstock.client.asking import JSON, Asking, segment
from penstock.core import errors
from penstock.core.errors import PenstockError


class Definitions(Asking):
    """What is deployed."""

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
        return list(self._get(f"/functions/{segment(name)}" if name else "/functions"))

    def workflows(self, name: str = "") -> list[JSON]:
        """Return every workflow at its newest version, or all versions of the one called ``name``."""
        return list(self._get(f"/workflows/{segment(name)}" if name else "/workflows"))

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
        return dict(self._ask("PATCH", f"/triggers/{segment(name)}", body=body))

    def remove_trigger(self, name: str) -> JSON:
        """Remove a trigger; runs under way go on."""
        return dict(self._ask("DELETE", f"/triggers/{segment(name)}"))


def _by_code(code: int) -> type[PenstockError]:
    known = (errors.Failed, errors.Refused, errors.Unavailable, errors.Broken)
    return next((kind for kind in known if kind.exit_code == code), errors.Refused)
