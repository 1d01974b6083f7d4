"""The floor for routing: event-ruler, the Java library, on the same events and filters.

Maven fetches the library into ``.cache/``, javac compiles ``java/RulerDriver.java`` against it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache" / "event-ruler"
ROUNDS = 3
HEAP = "-Xmx10g"
WAIT_S = 900


class Missing(Exception):
    """The floor cannot be measured here; says why."""


def rate(
    rules: Iterable[tuple[str, str]],
    changes: Iterable[tuple[str, str, str]],
    events: Sequence[bytes],
) -> float:
    """Return event-ruler's events per second, the best of ``ROUNDS`` rounds on one thread.

    Args:
        rules: Names and rules.
        changes: Names, the rules before and after; each round makes an equal share of them.
        events: Events as JSON.

    Raises:
        Missing: No Java, no Maven, or the driver failed.
    """
    java = _driver()
    with tempfile.TemporaryDirectory() as folder:
        inputs = [Path(folder) / name for name in ("rules", "changes", "events")]
        inputs[0].write_text("".join(f"{name}\t{rule}\n" for name, rule in rules))
        inputs[1].write_text("".join("\t".join(change) + "\n" for change in changes))
        inputs[2].write_bytes(b"\n".join(events) + b"\n")
        output = _run(
            [
                java,
                "-XX:+UseSerialGC",
                HEAP,
                "-cp",
                f"{CACHE}/*:{CACHE}",
                "RulerDriver",
                *map(str, inputs),
                str(ROUNDS),
            ]
        )
    rounds = [json.loads(line) for line in output.splitlines()]
    if any(done["matches"] < len(events) / 2 for done in rounds):
        raise Missing(f"event-ruler matched too little to be compared with: {rounds}")
    return max(float(done["rate"]) for done in rounds)


def _driver() -> str:
    """Return the path of java, the driver compiled and the library fetched."""
    programs = {name: shutil.which(name) for name in ("java", "javac", "mvn")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        raise Missing(f"{', '.join(missing)} not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    if not any(CACHE.glob("event-ruler-*.jar")):
        _run(
            [
                *("mvn", "-q", "-B", "-f", str(HERE / "java" / "pom.xml")),
                "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
                f"-DoutputDirectory={CACHE}",
            ]
        )
    _run(["javac", "-cp", f"{CACHE}/*", "-d", str(CACHE), str(HERE / "java" / "RulerDriver.java")])
    return str(programs["java"])


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT_S)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{command[0]} took longer than {WAIT_S} s") from error
    if done.returncode != 0:
        raise Missing(f"{command[0]} failed: {done.stderr.strip()[-300:]}")
    return done.stdout
