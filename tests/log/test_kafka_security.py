"""The log behind TLS: passwords and tokens by reference, access lists, and words without secrets."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from tests.servers.kafka_secure import ADMIN, ADMIN_PASSWORD, SecureKafka
from tests.servers.plugin import started

from penstock.core.errors import Unavailable
from penstock.log.kafka import KafkaLog, KafkaLogSettings
from penstock.testing.log_suite import first, ids, numbered

pytestmark = pytest.mark.slow
_numbers = count()
RIGHTS = ("READ", "WRITE", "CREATE", "DESCRIBE", "DESCRIBE_CONFIGS")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    broker = SecureKafka(tmp_path_factory.mktemp("secure"))
    started(broker)
    prepare(broker)
    yield broker
    broker.kill()


def prepare(broker: SecureKafka) -> None:
    """Make two users with passwords; one of them, and a subject of tokens, may use the log's topics."""
    admin = AdminClient(
        {
            "bootstrap.servers": broker.address,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(broker.ca),
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": ADMIN,
            "sasl.password": ADMIN_PASSWORD,
        }
    )
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192)
    users: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(name, info, b"pass-word") for name in ("penstock", "stranger")
    ]
    for done in admin.alter_user_scram_credentials(users).values():
        done.result(20)
    places = [(ResourceType.TOPIC, "log-", right) for right in RIGHTS]
    places.append((ResourceType.GROUP, "penstock-", "READ"))
    bindings = [
        AclBinding(
            kind,
            name,
            ResourcePatternType.PREFIXED,
            f"User:{user}",
            "*",
            AclOperation[right],
            AclPermissionType.ALLOW,
        )
        for user in ("penstock", "token-subject")
        for kind, name, right in places
    ]
    for allowed in admin.create_acls(bindings).values():
        allowed.result(20)


def settings(broker: SecureKafka, sasl: dict[str, Any], **more: Any) -> KafkaLogSettings:
    """Return settings as they are read from a file."""
    oauth = sasl["mechanism"] == "OAUTHBEARER"
    given = {
        "servers": broker.oauth_address if oauth else broker.address,
        "topic": f"log-{next(_numbers)}",
        "partitions": 1,
        "replication": 1,
        "tls": {"ca": str(broker.ca)},
        "sasl": sasl,
        **more,
    }
    return msgspec.convert(given, KafkaLogSettings)


async def works(log: KafkaLog) -> None:
    await log.append(numbered(0, 3))
    assert ids(await first(log, 3)) == ["0", "1", "2"]
    log.close()


def scram(user: str = "penstock") -> dict[str, Any]:
    return {"mechanism": "SCRAM-SHA-256", "user": user, "password": {"env": "KAFKA_TEST_PASSWORD"}}


@pytest.mark.anyio
async def test_a_password_from_the_environment_over_tls(
    broker: SecureKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_TEST_PASSWORD", "pass-word")
    await works(KafkaLog(settings(broker, scram()), 0))


@pytest.mark.anyio
async def test_a_token_from_a_file(broker: SecureKafka, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(broker.token("token-subject") + "\n")
    await works(KafkaLog(settings(broker, {"mechanism": "OAUTHBEARER", "token": {"file": str(token)}}), 0))


@pytest.mark.anyio
async def test_a_token_from_a_command_is_renewed_before_it_ends(broker: SecureKafka, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    script = tmp_path / "token.sh"
    token = tmp_path / "token"
    token.write_text(broker.token("token-subject", 10))  # with time to connect on a busy machine
    script.write_text(f"#!/bin/sh\necho called >> {shlex.quote(str(calls))}\ncat {shlex.quote(str(token))}\n")
    script.chmod(0o700)
    sasl = {"mechanism": "OAUTHBEARER", "token_command": [str(script)]}
    log = KafkaLog(settings(broker, sasl), 0)
    await log.append(numbered(0, 1))
    before = calls.read_text().count("called")
    token.write_text(broker.token("token-subject", 300))
    async with asyncio.timeout(40):
        while calls.read_text().count("called") == before:
            await asyncio.sleep(0.1)
    await log.append(numbered(1, 2))
    assert ids(await first(log, 3)) == ["0", "1", "2"]
    log.close()


def test_a_wrong_password_is_said_without_it(broker: SecureKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_TEST_PASSWORD", "wrong-pass-word")
    with pytest.raises(Unavailable) as told:
        KafkaLog(settings(broker, scram()), 0)
    assert "wrong-pass-word" not in str(told.value)
    assert "credentials" in str(told.value)


def test_what_no_list_allows_is_said_with_the_user(
    broker: SecureKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_TEST_PASSWORD", "pass-word")
    with pytest.raises(Unavailable, match=r"stranger.*ACL"):
        KafkaLog(settings(broker, scram("stranger")), 0)


def test_a_broker_whose_certificate_nobody_vouches_for_is_refused(
    broker: SecureKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_TEST_PASSWORD", "pass-word")
    with pytest.raises(Unavailable, match=r"TLS|cannot be reached"):
        KafkaLog(settings(broker, scram(), tls={}), 0)


def test_secrets_are_in_no_representation(broker: SecureKafka) -> None:
    shown = repr(settings(broker, scram()))
    assert "KAFKA_TEST_PASSWORD" in shown
    assert "pass-word" not in shown
