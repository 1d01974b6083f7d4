"""Isolated environments for functions: dependencies locked once, installed once, shared by equal locks.

A file without dependencies runs in Penstock's own interpreter. Else its requirements are resolved to
exact versions with hashes (the *lock*, kept with the deployed code), and a virtual environment with
just these is made in the cache, in a folder named by the digest of lock and interpreter. A marker
file, written last, says that a folder is whole; a file lock keeps two deployments apart.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uv
from msgspec.structs import replace

from penstock.core.errors import Invalid, Refused, Timeout, Unavailable
from penstock.core.function import Function, Kind
from penstock.functions.bundle import stored_lock
from penstock.functions.child import Ended, Lines, ignore, run
from penstock.functions.script import Script, read, satisfies

RESOLVE_TIMEOUT_S = 600.0
INSTALL_TIMEOUT_S = 3600.0
PYTHON_LEAST = (3, 11)
"""What the SDK and the workers need."""
MARKER = ".penstock-complete"
_NETWORK = re.compile(
    r"error sending request|Failed to fetch|dns error|timed out|network was disabled", re.IGNORECASE
)
_ABSENT = re.compile(r"No solution found|not found in|no version of|No interpreter found", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a function's code runs.

    Attributes:
        python: Path of the interpreter.
        digest: Of lock and interpreter; empty for Penstock's own.
        lock: Exact versions with hashes, as text; empty without dependencies.
    """

    python: str
    digest: str = ""
    lock: str = ""


def ensure(
    script: Path,
    cache: Path,
    wheels: Path | None = None,
    progress: Lines = ignore,
    *,
    lock: str = "",
    on_line: Lines | None = None,
) -> Environment:
    """Return the environment that ``script`` asks for, made if it is not in ``cache``. May block for minutes.

    Args:
        script: The function's Python file.
        cache: Folder for environments; may be emptied at any time when no function runs.
        wheels: Folder of packages to use instead of the network.
        progress: Gets a line for each thing that is being done.
        lock: A stored lock to build from instead of resolving again.
        on_line: Gets what the tool says besides; default: ``progress``.

    Raises:
        Invalid: The block is wrong, or a package, version or Python that it asks for is not to be had.
        Unavailable: The packages cannot be reached now.
        Timeout: Resolving or installing took too long.
    """
    wanted = read(script)
    tool = _Uv(script.name, wheels, on_line or progress)
    python = _interpreter(tool, script.name, wanted)
    if not wanted.dependencies and not lock:
        return Environment(python=python)
    if not lock:
        progress(f"{script.name}: locking {', '.join(wanted.dependencies)}")
        lock = tool.lock(script, python)
    digest = _digest(lock, python)
    folder = cache.resolve() / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_suffix(".lock"), progress):
        if not _is_whole(folder):
            progress(f"{script.name}: installing {_count(lock)} packages")
            _build(tool, folder, python, lock)
    return Environment(python=str(folder / "bin" / "python"), digest=digest, lock=lock)


def restore(
    function: Function, cache: Path, wheels: Path | None = None, progress: Lines = ignore
) -> Function:
    """Return ``function`` with an interpreter that is there, rebuilt from its stored lock if it is not.

    To be called before a deployed function's first worker starts: somebody may have emptied the cache.
    Costs microseconds where nothing is missing, else blocks for minutes.

    Raises:
        Invalid: It can no longer be made; the message says why.
        Unavailable: The packages cannot be reached now.
        Timeout: Installing took too long.
    """
    if function.kind is not Kind.PYTHON or not function.python or os.path.exists(function.python):
        return function
    code = Path(function.code)
    script = code / function.entry.partition(":")[0]
    made = ensure(script, cache, wheels, progress, lock=stored_lock(code))
    return replace(function, python=made.python)


def _interpreter(tool: _Uv, name: str, wanted: Script) -> str:
    if satisfies(sys.version_info[:3], wanted.requires_python):
        return sys.executable
    found = tool.python(wanted.requires_python)
    least = ".".join(map(str, PYTHON_LEAST))
    if found is None:
        raise Invalid(
            f"{name}: requires Python {wanted.requires_python}; Penstock runs on "
            f"{platform.python_version()}, and no other installed interpreter fits. "
            "Install one, or change 'requires-python'"
        )
    path, version = found
    if version < PYTHON_LEAST:
        raise Invalid(
            f"{name}: requires Python {wanted.requires_python}, for which {path} would be used; functions "
            f"need Python {least} or newer. Change 'requires-python'"
        )
    return path


def _digest(lock: str, python: str) -> str:
    """Return the name of an environment: equal lock and equal interpreter give an equal one."""
    binary = os.path.realpath(python)
    parts = [lock, binary, platform.machine(), str(os.stat(binary).st_size)]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def _count(lock: str) -> int:
    return sum(1 for line in lock.splitlines() if line and not line[0].isspace() and line[0] not in "#-")


def _is_whole(folder: Path) -> bool:
    # Its interpreter is a link to one that may have been removed since.
    return (folder / MARKER).is_file() and (folder / "bin" / "python").exists()


def _build(tool: _Uv, folder: Path, python: str, lock: str) -> None:
    # In place: a virtual environment holds its own path and cannot be moved. The marker makes it whole.
    if folder.exists():
        shutil.rmtree(folder)
    tool.venv(folder, python)
    requirements = folder / "penstock-lock.txt"
    requirements.write_text(lock)
    tool.install(folder, requirements)
    (folder / MARKER).touch()


@contextmanager
def _alone(path: Path, progress: Lines) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another deployment that makes the same environment")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Uv:
    """The resolver and installer, and its errors in our words."""

    def __init__(self, name: str, wheels: Path | None, progress: Lines) -> None:
        if wheels is not None and not wheels.is_dir():
            raise Invalid(f"{wheels}: no such folder; expected one with wheels (*.whl)")
        self._name = name
        self._progress = progress
        self._wheels = wheels.resolve() if wheels is not None else None
        self._program = uv.find_uv_bin()

    def lock(self, script: Path, python: str) -> str:
        """Return the resolution of the script's dependencies, with hashes."""
        argv = ["pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--quiet"]
        where = ["--python", python, *self._where()]
        ended = self._run([*argv, *where, str(script.resolve())], RESOLVE_TIMEOUT_S)
        return ended.stdout

    def venv(self, folder: Path, python: str) -> None:
        """Make an empty environment."""
        self._run(["venv", "--quiet", "--no-project", "--python", python, str(folder)], RESOLVE_TIMEOUT_S)

    def install(self, folder: Path, requirements: Path) -> None:
        """Install exactly what the lock says."""
        argv = ["pip", "sync", "--require-hashes", "--link-mode", "copy", "--compile-bytecode"]
        python = str(folder / "bin" / "python")
        self._run([*argv, "--python", python, *self._where(), str(requirements)], INSTALL_TIMEOUT_S)

    def python(self, requires: str) -> tuple[str, tuple[int, ...]] | None:
        """Return an installed interpreter that fulfils ``requires``, with its version, or None."""
        ended = run(
            [self._program, "python", "find", "--no-project", "--no-python-downloads", requires],
            timeout_s=RESOLVE_TIMEOUT_S,
        )
        path = ended.stdout.strip()
        if ended.code != 0 or not path:
            return None
        asked = run(
            [path, "-I", "-c", "import sys; print(*sys.version_info[:3])"], timeout_s=RESOLVE_TIMEOUT_S
        )
        return (path, tuple(map(int, asked.stdout.split()))) if asked.code == 0 else None

    def _where(self) -> list[str]:
        return ["--no-index", "--find-links", str(self._wheels)] if self._wheels is not None else []

    def _run(self, arguments: Sequence[str], timeout_s: float) -> Ended:
        ended = run(
            [self._program, "--no-python-downloads", "--no-progress", "--color", "never", *arguments],
            timeout_s=timeout_s,
            on_line=self._line if "sync" in arguments else ignore,
        )
        if ended.code is None:
            raise Timeout(f"{self._name}: making its environment took longer than {timeout_s:g} s", 60.0)
        if ended.code != 0:
            raise self._error(ended.stderr.strip())
        return ended

    def _line(self, line: str) -> None:
        if line.strip():
            self._progress(f"{self._name}: {line.strip()}")

    def _error(self, said: str) -> Refused | Unavailable:
        said = said.replace("\n", "\n    ")
        if self._wheels is None and _NETWORK.search(said):
            return Unavailable(
                f"{self._name}: the package index cannot be reached. On a machine without network, "
                "collect the wheels elsewhere (pip download -d wheels …) and name their folder: --wheels."
                f"\n    {said}",
                60.0,
            )
        if self._wheels is not None and _ABSENT.search(said):
            return Invalid(
                f"{self._name}: {self._wheels} lacks a package that is needed; put its wheel for this Python "
                f"and machine there (pip download -d {self._wheels} …), with those that it needs.\n    {said}"
            )
        return Invalid(f"{self._name}: its dependencies cannot be installed; correct the block.\n    {said}")
