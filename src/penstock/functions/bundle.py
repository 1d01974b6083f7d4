"""The deployed copy of a function's code: read-only, named by the digest of its contents, never changed.

It lies in ``<data>/functions/<tenant>/<name>/<digest>/`` and holds the function's files, as they were
beside the definition, and the lock of its environment. Equal contents give the same folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from penstock.core.errors import Invalid, Unavailable
from penstock.core.function import Function, Kind

BUNDLE_BYTES_MAX = 256 << 20
BUNDLE_FILES_MAX = 10_000
LOCK = "penstock.lock"
"""Name of the environment's lock in the bundle."""
_SKIPPED = ("__pycache__", ".git")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A deployed copy.

    Attributes:
        folder: Where it lies.
        digest: Of all names and contents in it.
    """

    folder: Path
    digest: str


def make(data: Path, function: Function, source: Path, patterns: Sequence[str], lock: str = "") -> Bundle:
    """Copy a function's files and return the copy, or the equal one that is there. Blocks on the disk.

    Args:
        data: Penstock's data folder.
        function: Whose code it is; gives tenant and name.
        source: The definition's folder.
        patterns: Names or glob patterns of files, or names of folders, below ``source``.
        lock: Of the function's environment.

    Raises:
        Invalid: A name is not there, leads out of ``source``, or all is larger than the limits.
        Unavailable: The copy cannot be written (disk full).
    """
    source = source.resolve()
    contents = _contents(function.name, source, patterns)
    if lock:
        contents[LOCK] = (lock.encode(), False)
    digest = _digest(contents)
    parent = data / "functions" / function.tenant / function.name.rsplit("/", 1)[-1]
    try:
        return Bundle(folder=_written(parent / digest, contents), digest=digest)
    except OSError as error:
        raise Unavailable(f"{function.name}: its code cannot be copied to {parent}: {error}", 60.0) from error


def placed(function: Function, bundle: Bundle, python: str) -> Function:
    """Return ``function`` with its code and, for Python, its interpreter."""
    return replace(
        function,
        code=str(bundle.folder),
        python=python if function.kind is Kind.PYTHON else "",
        source_digest=bundle.digest,
    )


def stored_lock(code: Path) -> str:
    """Return the lock kept in a deployed copy; empty if its function has no dependencies."""
    path = code / LOCK
    return path.read_text() if path.is_file() else ""


Contents = dict[str, tuple[bytes, bool]]
"""Relative name to bytes, and whether it may be executed."""


def _contents(name: str, source: Path, patterns: Sequence[str]) -> Contents:
    contents: Contents = {}
    size_bytes = 0
    for pattern in patterns:
        for path in _matching(name, source, pattern):
            relative = str(path.relative_to(source))
            size_bytes += path.stat().st_size if relative not in contents else 0
            if size_bytes > BUNDLE_BYTES_MAX or len(contents) >= BUNDLE_FILES_MAX:
                raise Invalid(
                    f"function {name!r}: its code has more than {BUNDLE_BYTES_MAX >> 20} MiB or "
                    f"{BUNDLE_FILES_MAX} files (at {relative!r}); leave data out and read it from storage"
                )
            contents[relative] = (path.read_bytes(), os.access(path, os.X_OK))
    return contents


def _matching(name: str, source: Path, pattern: str) -> list[Path]:
    if pattern.startswith("/") or ".." in Path(pattern).parts:
        raise Invalid(f"function {name!r}: {pattern!r} leads out of its folder; name files below {source}")
    exact = source / pattern
    found = [exact] if exact.exists() else sorted(source.glob(pattern))
    files = [file for path in found for file in _files(path) if not set(_SKIPPED) & set(file.parts)]
    if not files:
        raise Invalid(f"function {name!r}: there is no file {pattern!r} in {source}")
    for file in files:
        if not file.resolve().is_relative_to(source):
            raise Invalid(
                f"function {name!r}: {str(file.relative_to(source))!r} is a link to {file.resolve()}, "
                "outside its folder; put a copy there"
            )
    return files


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.is_file() else []
    # ``rglob`` follows no links to folders, so nothing is walked that lies elsewhere.
    return sorted(each for each in path.rglob("*") if each.is_file())


def _digest(contents: Mapping[str, tuple[bytes, bool]]) -> str:
    state = hashlib.blake2b(digest_size=12)
    for name, (content, executable) in sorted(contents.items()):
        for part in (os.fsencode(name), content, b"x" if executable else b"-"):
            state.update(len(part).to_bytes(8, "big"))
            state.update(part)
    return state.hexdigest()


def _written(folder: Path, contents: Mapping[str, tuple[bytes, bool]]) -> Path:
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
    try:
        for name, (content, executable) in contents.items():
            _write(temporary / name, content, 0o555 if executable else 0o444)
        _seal(temporary)
        temporary.rename(folder)
        _sync(folder.parent)
    except OSError:
        # If it is there now, another deployment of the same contents was faster.
        if not folder.is_dir():
            raise
    finally:
        remove(temporary)
    return folder


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        # The definition that names this copy is durable; so must the copy be.
        os.fsync(file.fileno())
    path.chmod(mode)


def _seal(folder: Path) -> None:
    for path in [*(each for each in folder.rglob("*") if each.is_dir()), folder]:
        path.chmod(0o555)
        _sync(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(folder: Path) -> None:
    """Remove a deployed copy that nothing refers to any more; none is fine."""
    if folder.exists():
        for path in [folder, *(each for each in folder.rglob("*") if each.is_dir())]:
            path.chmod(0o755)
        shutil.rmtree(folder)
