"""Settings: one documented TOML file, environment over file, flags over environment.

Places follow the XDG base directory specification; ``home`` puts everything below one folder instead.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from penstock.core.errors import Invalid
from penstock.core.function import check_name
from penstock.log.embedded import LogSettings
from penstock.server.backbone import BACKBONE, backbone
from penstock.server.kinds import SourceEntry, entries, load_kind

CONFIG_NAME = "penstock.toml"
ENVIRONMENT_PREFIX = "PENSTOCK_"


class Places(Struct, frozen=True, kw_only=True):
    """Where things are kept.

    Attributes:
        config: The settings file.
        data: Deployed code.
        state: Log, state database, logs of functions.
        cache: Environments, downloads.
        runtime: Sockets and the access token; not on a shared file system.
    """

    config: Path
    data: Path
    state: Path
    cache: Path
    runtime: Path


class StorageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder whose files raise events.

    Attributes:
        name: The storage's name; part of every event's id, so do not change it later.
        folder: Absolute path.
        ignore: Globs of paths that raise no events, beside the built-in ones.
        existing: Whether files that are there at the very first start raise events.
        accept_filesystems: Types of network file systems, such as ``nfs4``, that are accepted because no
            other machine writes there.
    """

    name: str
    folder: str
    ignore: tuple[str, ...] = ()
    existing: bool = False
    accept_filesystems: tuple[str, ...] = ()


class PoolOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Warm workers.

    Attributes:
        workers_max: Most at once, all functions together; 0 means twice the cores, at least 4.
        idle_s: A worker without work ends after so many seconds.
    """

    workers_max: int = 0
    idle_s: float = 300.0


class BatchOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The local batch queue.

    Attributes:
        cores: Cores it may use at once; 0 means all.
        memory_bytes: Memory it may use at once; 0 means four fifths.
    """

    cores: int = 0
    memory_bytes: int = 0


class ReceiveOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The door at which outside systems call sources of the kinds that wait for them.

    Attributes:
        host: Address to listen on; one that the outside system can reach.
        port: 0 keeps the door shut.
        certificate: File with the certificate chain; empty for plain HTTP.
        key: File with its key.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: str = ""
    key: str = ""


class HealthOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each process of a site tells how it is.

    Attributes:
        host: Address to listen on.
        port: First port that is tried; processes on one host take the following ones. 0 keeps it shut.
    """

    host: str = "127.0.0.1"
    port: int = 0


class ReconcileOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How storages are listed where something was lost.

    Attributes:
        files_per_s: Most files listed in a second, so that neither the storage nor other events are slowed.
    """

    files_per_s: float = 20_000.0

    def __post_init__(self) -> None:
        """Refuse a pace that never ends."""
        if self.files_per_s <= 0:
            raise ValueError(f"files_per_s is {self.files_per_s}; expected more than 0")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set.

    Attributes:
        storages: Folders to watch.
        sources: Outside systems that tell of files and other events; see ``server.kinds``.
        port: Loopback port of page and API; 0 takes a free one.
        messages: What processes write to standard error: lines for people, or JSON.
        capacity: Most runs under way at once; later ones wait.
        checkpoint_s: Longest time that state lags behind the log when nobody waits for it, in seconds.
        history_s: Ended runs and their logs are removed after so many seconds.
        pool: Warm workers.
        batch: Local batch queue.
        log: Retention of events.
        receive: Door for systems that call us.
        reconcile: Listing of storages where something was lost.
        health: Where a site's processes tell how they are.
        kafka: The log of a site (``log.kafka_settings``); None for the embedded one.
        postgres: The state of a site (``state.postgres.settings``); None for the embedded one.
    """

    storages: tuple[StorageSettings, ...] = ()
    sources: tuple[SourceEntry, ...] = ()
    port: int = 8720
    messages: Literal["text", "json"] = "text"
    capacity: int = 512
    checkpoint_s: float = 0.1
    history_s: float = 30 * 86400.0
    pool: PoolOptions = PoolOptions()
    batch: BatchOptions = BatchOptions()
    log: LogSettings = LogSettings()
    receive: ReceiveOptions = ReceiveOptions()
    reconcile: ReconcileOptions = ReconcileOptions()
    health: HealthOptions = HealthOptions()
    kafka: Any = None
    postgres: Any = None


def places(home: str | None = None, environment: dict[str, str] | None = None) -> Places:
    """Return where things are kept.

    Args:
        home: One folder for everything; default ``PENSTOCK_HOME``, else the XDG folders.
        environment: Default: the process's.
    """
    env = dict(os.environ) if environment is None else environment
    home = home or env.get("PENSTOCK_HOME")
    if home:
        root = Path(home).expanduser().absolute()
        return Places(
            config=root / CONFIG_NAME,
            data=root / "data",
            state=root / "state",
            cache=Path(env["PENSTOCK_CACHE"]) if env.get("PENSTOCK_CACHE") else root / "cache",
            runtime=root / "run",
        )
    user = Path(env.get("HOME") or Path.home())
    state = Path(env.get("XDG_STATE_HOME") or user / ".local/state") / "penstock"
    runtime = env.get("XDG_RUNTIME_DIR")
    return Places(
        config=Path(env.get("XDG_CONFIG_HOME") or user / ".config") / "penstock" / CONFIG_NAME,
        data=Path(env.get("XDG_DATA_HOME") or user / ".local/share") / "penstock",
        state=state,
        cache=Path(env.get("XDG_CACHE_HOME") or user / ".cache") / "penstock",
        runtime=Path(runtime) / "penstock" if runtime else state / "run",
    )


def load(config: Path, environment: dict[str, str] | None = None) -> Settings:
    """Return the settings in ``config`` (defaults if absent), overlaid by the environment.

    Raises:
        Invalid: The file or a variable is wrong; every fault is named.
    """
    env = dict(os.environ) if environment is None else environment
    document: dict[str, Any] = {}
    if config.exists():
        try:
            document = tomllib.loads(config.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"{config}: {error}") from error
    for name in ("port", "capacity"):
        value = env.get(ENVIRONMENT_PREFIX + name.upper())
        if value is not None:
            document[name] = value
    return check(document, str(config))


def check(document: dict[str, Any], place: str) -> Settings:
    """Return the settings that ``document`` means.

    Raises:
        Invalid: Something in it is wrong; every fault is named with its place.
    """
    faults = []
    for name in sorted(document.keys() - set(Settings.__struct_fields__)):
        known = ", ".join(Settings.__struct_fields__)
        faults.append(f"unknown setting {name!r}; known are {known}")
    taken: dict[str, Any] = {}
    hints = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    for name in (document.keys() & hints.keys()) - {"sources", *BACKBONE}:
        try:
            taken[name] = msgspec.convert(document[name], hints[name], strict=False)
        except msgspec.ValidationError as error:
            faults.append(f"{name}: {error}")
    storages = frozenset(storage.name for storage in taken.get("storages", ()))
    sources = entries(document.get("sources", ()), storages, faults)
    settings = Settings(**taken, sources=sources, **backbone(document, faults))
    faults += _storage_faults(settings)
    if faults:
        raise Invalid(f"{place}: the settings have {len(faults)} fault(s):", tuple(faults))
    return settings


def _storage_faults(settings: Settings) -> list[str]:
    faults, names = [], set()
    for storage in settings.storages:
        try:
            check_name("storage", storage.name)
        except Invalid as error:
            faults.append(str(error))
        if storage.name in names:
            faults.append(f"storage {storage.name!r} is named twice")
        names.add(storage.name)
        if not os.path.isabs(storage.folder):
            faults.append(f"storage {storage.name!r}: folder {storage.folder!r} must be an absolute path")
    return faults + _receive_faults(settings)


def _receive_faults(settings: Settings) -> list[str]:
    waiting = [entry.name for entry in settings.sources if hasattr(load_kind(entry.kind), "receive")]
    if waiting and not settings.receive.port:
        return [f"source {waiting[0]!r} waits to be called: set the port under [receive]"]
    if bool(settings.receive.certificate) != bool(settings.receive.key):
        return ["receive: 'certificate' and 'key' go together"]
    return []


def write_storage(config: Path, storage: StorageSettings) -> None:
    """Append a storage to the settings file, which is made if absent."""
    config.parent.mkdir(parents=True, exist_ok=True)
    quoted = msgspec.json.encode(storage.folder).decode()
    lines = f'[[storages]]\nname = "{storage.name}"\nfolder = {quoted}\n'
    if storage.existing:
        lines += "existing = true\n"
    before = config.read_text(encoding="utf-8").rstrip() + "\n\n" if config.exists() else ""
    fresh = config.with_name(f".{config.name}.new")
    fresh.write_text(before + lines, encoding="utf-8")
    fresh.replace(config)
