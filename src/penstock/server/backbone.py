"""``[kafka]`` and ``[postgres]`` of the settings: which log and state belong together, imported only then."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

BACKBONE = frozenset({"kafka", "postgres"})


def backbone(document: dict[str, Any], faults: list[str]) -> dict[str, Any]:
    """Return the settings of log and state, where they are a site's; faults are added to ``faults``."""
    found: dict[str, Any] = {}
    if "kafka" in document:
        found["kafka"] = _table("kafka", document["kafka"], faults)
    if "postgres" in document:
        found["postgres"] = _table("postgres", document["postgres"], faults)
        if "kafka" not in document:
            faults.append(
                "postgres without kafka: many processes would share one embedded log. Supported are neither, "
                "[kafka] with one partition, and both"
            )
    elif found.get("kafka") is not None and found["kafka"].partitions != 1:
        faults.append(
            f"kafka.partitions is {found['kafka'].partitions}: with the embedded state one process folds one "
            "partition. Set it to 1, or set [postgres]"
        )
    return found


def _table(name: str, table: Any, faults: list[str]) -> Any:
    """Return a table as its settings; None if it is wrong."""
    try:
        kind = _kind(name)
    except ImportError as error:
        faults.append(
            f"{name}: it needs a package that is not installed ({error}); "
            f"install it with: pip install 'penstock[{name}]'"
        )
        return None
    try:
        return msgspec.convert(table, kind, strict=False)
    except msgspec.ValidationError as error:
        faults.append(f"{name}: {error}")
        return None


def _kind(name: str) -> type[Struct]:
    if name == "kafka":
        from penstock.log.kafka_settings import KafkaLogSettings

        return KafkaLogSettings
    import psycopg  # noqa: F401 - what the settings lead to needs it

    from penstock.state.postgres.settings import PostgresSettings

    return PostgresSettings
