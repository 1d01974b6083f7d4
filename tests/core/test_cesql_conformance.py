"""Every case of the public conformance kit of CESQL, which comes with its Go implementation.

The cases are downloaded with the ordinary ``go`` client into a cache of the test's own and are
not kept here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.core.cesql import FaultKind, compile_cesql
from penstock.core.errors import Invalid

MODULE = "github.com/cloudevents/sdk-go/sql/v2"
VERSION = "v2.16.2"
CASES_MIN = 150
"""The kit had about this many when this was written; far fewer means that we read it wrongly."""

FULL_EVENT = {
    "specversion": "1.0",
    "id": "full-event",
    "source": "http://example.com/source",
    "type": "com.example.FullEvent",
    "subject": "topic",
    "time": "2020-03-21T12:34:56.78Z",
    "datacontenttype": "text/json",
    "dataschema": "http://example.com/schema",
    "exbool": True,
    "exint": 42,
    "exstring": "exstring",
}


@pytest.mark.net
@pytest.mark.timeout(300)
def test_every_case_of_the_conformance_kit(program: Callable[[str, str], str], tmp_path: Path) -> None:
    cases = _cases(_download(program("go", "golang"), tmp_path))
    assert len(cases) >= CASES_MIN
    failures = [complaint for case in cases if (complaint := _complaint(case))]
    assert not failures, "\n".join(failures)


def _download(go: str, folder: Path) -> Path:
    (folder / "go.mod").write_text("module conformance\n")
    environment = {**os.environ, "GOMODCACHE": str(folder / "modules"), "GOFLAGS": "-modcacherw"}
    done = subprocess.run(
        [go, "mod", "download", "-json", f"{MODULE}@{VERSION}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        message = f"go mod download {MODULE}@{VERSION}: {done.stdout[-500:]} {done.stderr[-500:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return Path(json.loads(done.stdout)["Dir"]) / "test" / "tck"


def _cases(folder: Path) -> list[dict[str, Any]]:
    return [
        {**case, "file": path.name}
        for path in sorted(folder.glob("*.yaml"))
        for case in yaml.load(path.read_text(), _Loader)["tests"]
    ]


class _Loader(yaml.SafeLoader):
    """Times stay text, as they are in events."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _complaint(case: dict[str, Any]) -> str | None:
    where = f"{case['file']}: {case['name']}: {case['expression']}"
    text = (
        str(case["expression"])
        if not isinstance(case["expression"], bool)
        else str(case["expression"]).lower()
    )
    try:
        expression = compile_cesql(text)
    except Invalid as error:
        return None if case.get("error") == "parse" else f"{where}: {error}"
    event = {**case.get("event", FULL_EVENT), **case.get("eventOverrides", {})}
    value, fault, _ = expression.outcome(event.get)
    wanted_fault = FaultKind(case["error"]) if "error" in case else None
    wanted = case.get("result", False)
    if fault is not wanted_fault or value != wanted or type(value) is not type(wanted):
        return f"{where}: got {value!r} ({fault}), wanted {wanted!r} ({wanted_fault})"
    return None
