"""The topic of a log: made if it is absent, refused if it is not what the log needs. Blocking."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from penstock.core.errors import Invalid
from penstock.log.kafka_settings import KafkaLogSettings
from penstock.outside.kafka import in_words, is_serious, opened

logger = logging.getLogger("penstock.log.kafka")
ANSWER_S = 10.0
"""Longest wait for one answer of the cluster."""

TRY_S = 2.0
"""Longest wait for the first answer before it is looked what stands in the way."""
NOTHING: Mapping[str, str] = MappingProxyType({})
APPEAR_S = 0.02
"""How often brokers are asked for a topic that was just made."""


def ensure_topic(settings: KafkaLogSettings, differing: Mapping[str, str] = NOTHING) -> None:
    """Return once the topic is there and is what the settings say.

    Args:
        settings: Cluster and topic.
        differing: What it must be set to instead, while it is filled (see ``log.kafka_filling``).

    Raises:
        Invalid: It is there and different; every difference is named, with what to do.
        Unavailable: The cluster cannot be asked, or it is absent and may not be made.
    """
    troubles: list[KafkaError] = []
    watching = {"error_cb": troubles.append, "logger": logger}
    admin: AdminClient = opened(AdminClient, settings, watching)
    try:
        _reach(admin, settings.topic, troubles)
        replicas = replicas_of(admin, settings.topic)
        if not replicas and settings.create:
            _create(admin, settings, differing)
            replicas = _appeared(admin, settings.topic)
        faults = _faults(settings, replicas, config_of(admin, settings.topic), differing)
    except KafkaException as error:
        raise in_words(
            error.args[0], settings, f"the log's topic {settings.topic!r} cannot be used"
        ) from error
    if faults:
        raise Invalid(
            f"the topic {settings.topic!r} at {settings.servers} does not fit the settings:", faults
        )


def _reach(admin: AdminClient, topic: str, troubles: Sequence[KafkaError]) -> None:
    """Return once the cluster has answered; what stands in the way is told by the client on the side."""
    until = time.monotonic() + ANSWER_S
    while True:
        try:
            admin.list_topics(topic, TRY_S)
            return
        except KafkaException:
            admin.poll(0)  # it calls back what it had to tell
            telling = [error for error in troubles if is_serious(error)]
            if telling:
                raise KafkaException(min(telling, key=_vagueness)) from None
            if time.monotonic() > until:
                raise


def _vagueness(error: KafkaError) -> bool:
    return bool(error.code() == KafkaError._ALL_BROKERS_DOWN)


def replicas_of(admin: AdminClient, topic: str) -> Mapping[int, int]:
    """Return how many replicas each partition has; nothing where there is no such topic."""
    found = admin.list_topics(topic, ANSWER_S).topics[topic]
    if found.error is not None:
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return {}
        raise KafkaException(found.error)
    return {number: len(partition.replicas) for number, partition in found.partitions.items()}


def _create(admin: AdminClient, settings: KafkaLogSettings, differing: Mapping[str, str]) -> None:
    config = {**settings.topic_config(), **differing}
    wanted = NewTopic(settings.topic, settings.partitions, settings.replication, config=config)
    try:
        admin.create_topics([wanted], operation_timeout=ANSWER_S)[settings.topic].result(ANSWER_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
            raise


def _appeared(admin: AdminClient, topic: str) -> Mapping[int, int]:
    """Return the replicas once the brokers tell of the topic; they do so a moment after it is made."""
    until = time.monotonic() + ANSWER_S
    while True:
        replicas = replicas_of(admin, topic)
        try:
            if replicas:
                config_of(admin, topic)
                return replicas
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
        if time.monotonic() > until:
            return replicas
        time.sleep(APPEAR_S)


def config_of(admin: AdminClient, topic: str) -> Mapping[str, Any]:
    """Return what a topic is set to. Blocks."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    answers = admin.describe_configs([resource], request_timeout=ANSWER_S)
    return {name: entry.value for name, entry in answers[resource].result(ANSWER_S).items()}


def _faults(
    settings: KafkaLogSettings,
    replicas: Mapping[int, int],
    config: Mapping[str, Any],
    differing: Mapping[str, str],
) -> tuple[str, ...]:
    faults = []
    if len(replicas) != settings.partitions:
        faults.append(
            f"it has {len(replicas)} partitions, 'partitions' says {settings.partitions}. The number decides "
            "which process works on which events: change the setting, or take a new topic"
        )
    if replicas and min(replicas.values()) < settings.replication:
        faults.append(
            f"it has {min(replicas.values())} replicas, 'replication' says {settings.replication}; "
            "reassign its partitions with kafka-reassign-partitions.sh, or change the setting"
        )
    for name, wanted in {**settings.topic_config(), **differing}.items():
        enough = name == "max.message.bytes" and int(config.get(name, 0)) >= int(wanted)
        if name in config and config[name] != wanted and not enough:
            faults.append(
                f"{name} is {config[name]}, expected {wanted}: kafka-configs.sh --alter --entity-type topics "
                f"--entity-name {settings.topic} --add-config {name}={wanted}"
            )
    return tuple(faults)
