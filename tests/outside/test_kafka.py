"""Settings of a connection to Kafka: checked when they are read, secrets only when they are used."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError

from penstock.core.errors import Refused, Unavailable
from penstock.outside.kafka import KafkaAccess, client_config, in_words, opened

PASSWORD = {"env": "KAFKA_TEST_PASSWORD"}


def access(**members: Any) -> KafkaAccess:
    return msgspec.convert({"servers": "k:9092", **members}, KafkaAccess)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"sasl": {"mechanism": "PLAIN"}}, "PLAIN wants 'user' and 'password'"),
        ({"sasl": {"mechanism": "GSSAPI"}}, "GSSAPI"),
        ({"sasl": {"mechanism": "OAUTHBEARER"}}, "either 'token' or 'token_command'"),
        ({"sasl": {"mechanism": "OAUTHBEARER", "token": PASSWORD, "token_command": ["t"]}}, "either"),
        ({"properties": {"acks": 1, "group.id": "g"}}, "may not set acks, group.id"),
        ({"tls": {"certificates": "x"}}, "certificates"),
    ],
)
def test_faulty_settings_are_named(members: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        access(**members)


def test_a_whole_connection_becomes_the_clients_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_TEST_PASSWORD", "pass")
    config = client_config(
        access(
            tls={"ca": "/ca.pem"},
            sasl={"mechanism": "SCRAM-SHA-512", "user": "u", "password": PASSWORD},
        )
    )
    assert config["security.protocol"] == "SASL_SSL"
    assert config["ssl.ca.location"] == "/ca.pem"
    assert config["ssl.endpoint.identification.algorithm"] == "https"
    assert (config["sasl.username"], config["sasl.password"]) == ("u", "pass")


def test_properties_win_over_what_we_choose() -> None:
    given: list[dict[str, Any]] = []
    opened(given.append, access(properties={"fetch.wait.max.ms": 7}), {"fetch.wait.max.ms": 5})
    assert given[0]["fetch.wait.max.ms"] == 7


def test_a_token_lasts_as_long_as_it_says(tmp_path: Path) -> None:
    body = base64.urlsafe_b64encode(json.dumps({"exp": 1234567890}).encode()).decode().rstrip("=")
    (tmp_path / "t").write_text(f"head.{body}.signature\n")
    sasl = {"mechanism": "OAUTHBEARER", "token": {"file": str(tmp_path / "t")}}
    fresh = client_config(access(sasl=sasl))["oauth_cb"]
    assert fresh("") == (f"head.{body}.signature", 1234567890.0)
    (tmp_path / "t").write_text("opaque")
    token, until = fresh("")
    assert token == "opaque"
    assert 0 < until - time.time() <= 300


def test_a_command_that_prints_no_token_is_named_without_what_it_said() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('hidden')"]
    fresh = client_config(access(sasl={"mechanism": "OAUTHBEARER", "token_command": command}))["oauth_cb"]
    with pytest.raises(Unavailable, match="ended with 1") as told:
        fresh("")
    assert "hidden" not in str(told.value)


def test_a_property_that_the_client_does_not_know_is_refused_in_its_words() -> None:
    with pytest.raises(Refused, match=r"no\.such\.thing"):
        opened(Consumer, access(properties={"no.such.thing": 1}), {"group.id": "g"})


def test_a_refusal_names_who_asked() -> None:
    asked = access(sasl={"mechanism": "PLAIN", "user": "anna", "password": PASSWORD})
    told = in_words(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), asked, "t cannot be read")
    assert "does not allow anna to use the topic" in str(told)
