"""Settings of a log in Kafka."""

from __future__ import annotations

from penstock.core.event import EVENT_BYTES_MAX
from penstock.outside.kafka import KafkaAccess

MESSAGE_BYTES_MAX = EVENT_BYTES_MAX + (1 << 16)
"""An event and what its message needs beside it."""
REPLICATION_SAFE = 3
"""From so many replicas on, two must have a record before it is acknowledged."""


class KafkaLogSettings(KafkaAccess, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The topic that holds all events, and its cluster.

    Attributes:
        topic: Its name.
        partitions: How many it has; each is folded by one process at a time.
        replication: On how many brokers each record lies.
        retention_s: Records older than this go, in seconds.
        retention_bytes: Oldest records of a partition go while it is larger; -1: no limit.
        create: Whether the topic is made if it is absent; else its operator makes it.
        group: Consumer group that our readers name; it commits nothing.
        append_s: Longest wait for the broker's word that events are kept, in seconds.
        unacknowledged_bytes: Most that may be on its way to the broker.
    """

    topic: str = "penstock"
    partitions: int = 12
    replication: int = 3
    retention_s: float = 90 * 86400.0
    retention_bytes: int = -1
    create: bool = True
    group: str = "penstock-log"
    append_s: float = 10.0
    unacknowledged_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        """Refuse what can be no topic."""
        super().__post_init__()
        if self.partitions < 1 or self.replication < 1:
            raise ValueError("a topic has at least 1 partition and 1 replica")

    def topic_config(self) -> dict[str, str]:
        """Return what the topic must be set to."""
        return {
            "cleanup.policy": "delete",
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(MESSAGE_BYTES_MAX),
            "retention.ms": str(round(self.retention_s * 1000)),
            "retention.bytes": str(self.retention_bytes),
            "min.insync.replicas": str(2 if self.replication >= REPLICATION_SAFE else 1),
        }
