"""The log in Kafka over librdkafka's own mock of a cluster: the protocol without Java, for the inner loop."""

from __future__ import annotations

from itertools import count

import pytest
from confluent_kafka import Producer

from penstock.log.kafka import KafkaLog, KafkaLogSettings
from penstock.testing.log_suite import LogSuite

PARTITIONS = 4
"""How many a topic of the mock has; it makes them when it is first asked for one."""
_numbers = count()


@pytest.fixture(scope="module")
def mock() -> tuple[Producer, str]:
    """The cluster lives in a client; give it and its address."""
    home = Producer({"bootstrap.servers": "nowhere", "test.mock.num.brokers": 1, "log_level": 2})
    (broker,) = home.list_topics(timeout=10).brokers.values()
    return home, f"{broker.host}:{broker.port}"


class TestKafkaLogOverAMock(LogSuite):
    @pytest.fixture(autouse=True)
    def _topic(self, mock: tuple[Producer, str]) -> None:
        self.home, address = mock
        topic = f"log-{next(_numbers)}"
        self.settings = KafkaLogSettings(
            servers=address, topic=topic, partitions=PARTITIONS, properties={"fetch.wait.max.ms": 10}
        )

    def open(self) -> KafkaLog:
        return KafkaLog(self.settings, 0, lambda settings: self._make(settings.topic))

    def _make(self, topic: str) -> None:
        self.home.list_topics(topic, 10)

    def close(self, log: KafkaLog) -> None:
        log.close()

    def test_a_follower_gets_the_records_as_they_were_appended(self) -> None:  # type: ignore[override]
        pytest.skip("the mock keeps no time of its own; see test_kafka.py")

    def test_what_was_synced_is_there_when_opened_again(self) -> None:  # type: ignore[override]
        pytest.skip("the mock keeps no time of its own; see test_kafka.py")
