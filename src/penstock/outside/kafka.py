"""How a Kafka cluster is reached: addresses, TLS, SASL; and its client's errors in our words.

Needs the extra ``kafka`` (confluent-kafka).
"""

from __future__ import annotations

import json
import subprocess
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException
from msgspec import Struct

from penstock.core.errors import Refused, Unavailable
from penstock.outside.secret import Secret

TOKEN_COMMAND_S = 30.0
"""Longest time that a command may take to print a token."""
TOKEN_LIFETIME_S = 300.0
"""How long a token is used that does not say itself when it ends."""
AUTH_RETRY_S = 30.0
"""How long to wait after a refusal; somebody has to change a password or an ACL first."""

Property = str | int | float | bool
OWN_PROPERTIES = frozenset(
    {
        *("bootstrap.servers", "group.id", "client.id", "enable.idempotence", "acks", "enable.auto.commit"),
        *("enable.auto.offset.store", "auto.offset.reset", "partitioner", "isolation.level", "oauth_cb"),
        *("security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"),
        *("enable.partition.eof", "delivery.report.only.error", "transactional.id"),
    }
)
"""What may not be given in ``properties``: it has a setting of its own, or promises hang on it."""


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An encrypted connection.

    Attributes:
        ca: File with the certificates of the authorities that sign the brokers'; default: the system's.
        certificate: File with our own certificate (PEM), where brokers ask for one.
        key: File with its key (PEM).
        key_password: Of the key, if it has one.
        verify_host: Whether a broker's certificate must name its host; leave it so.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: Secret | None = None
    verify_host: bool = True


class Sasl(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are.

    Attributes:
        mechanism: ``SCRAM-SHA-256``, ``SCRAM-SHA-512``, ``PLAIN`` (over TLS only) or ``OAUTHBEARER``.
        user: For all but ``OAUTHBEARER``.
        password: The same.
        token: For ``OAUTHBEARER``: where a token is kept that somebody renews.
        token_command: For ``OAUTHBEARER``: a command that prints a token, run without a shell.
    """

    mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"]
    user: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    token_command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what does not fit the mechanism."""
        if self.mechanism == "OAUTHBEARER":
            if (self.token is None) == (not self.token_command):
                raise ValueError("OAUTHBEARER wants either 'token' or 'token_command'")
        elif self.user is None or self.password is None:
            raise ValueError(f"{self.mechanism} wants 'user' and 'password'")


class KafkaAccess(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Kafka cluster and how it is reached.

    Attributes:
        servers: ``host:port`` of some brokers, separated by commas; they tell of the others.
        tls: Absent: not encrypted.
        sasl: Absent: nobody in particular.
        properties: Further properties of librdkafka, for those who know them.
    """

    servers: str
    tls: Tls | None = None
    sasl: Sasl | None = None
    properties: dict[str, Property] = {}

    def __post_init__(self) -> None:
        """Refuse properties that promises hang on."""
        if own := sorted(self.properties.keys() & OWN_PROPERTIES):
            raise ValueError(f"'properties' may not set {', '.join(own)}")


def client_config(access: KafkaAccess) -> dict[str, Any]:
    """Return librdkafka's configuration for this cluster; secrets are read now.

    Raises:
        Invalid: A secret is not there.
        Unavailable: A secret's file cannot be read now.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": access.servers,
        "client.id": "penstock",
        "reconnect.backoff.max.ms": 5000,
        "log_level": 2,  # what matters is said in our words; ``properties`` may ask for the client's
        **_tls(access.tls),
        **_sasl(access.sasl),
    }
    encrypted, named = access.tls is not None, access.sasl is not None
    config["security.protocol"] = ("SASL_" if named else "") + ("SSL" if encrypted else "PLAINTEXT")
    return config


def _tls(tls: Tls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    given = {
        "ssl.ca.location": tls.ca,
        "ssl.certificate.location": tls.certificate,
        "ssl.key.location": tls.key,
        "ssl.key.password": tls.key_password.read() if tls.key_password else None,
        "ssl.endpoint.identification.algorithm": "https" if tls.verify_host else "none",
    }
    return {name: value for name, value in given.items() if value is not None}


def _sasl(sasl: Sasl | None) -> dict[str, Any]:
    if sasl is None:
        return {}
    if sasl.mechanism == "OAUTHBEARER":
        return {"sasl.mechanism": sasl.mechanism, "oauth_cb": _token_source(sasl)}
    assert sasl.password is not None
    return {
        "sasl.mechanism": sasl.mechanism,
        "sasl.username": sasl.user,
        "sasl.password": sasl.password.read(),
    }


def _token_source(sasl: Sasl) -> Callable[[str], tuple[str, float]]:
    """Return what librdkafka calls when it wants a token, again at four fifths of its life."""

    def fresh(_config: str) -> tuple[str, float]:
        token = sasl.token.read() if sasl.token else _printed(sasl.token_command)
        return token, _expiry(token)

    return fresh


def _printed(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOKEN_COMMAND_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"the command {command[0]!r} that prints a token for Kafka: {error}") from None
    if done.returncode or not done.stdout.strip():
        raise Unavailable(
            f"the command {command[0]!r} printed no token for Kafka (it ended with {done.returncode}); "
            "run it by hand to see why",
            AUTH_RETRY_S,
        )
    return done.stdout.strip()


def _expiry(token: str) -> float:
    """Return when a token ends, POSIX seconds: what it says itself (``exp`` of a JWT), or soon."""
    try:
        body = token.split(".")[1]
        return float(json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"])
    except (IndexError, KeyError, ValueError, TypeError):
        return time.time() + TOKEN_LIFETIME_S


_DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the cluster (an idempotent producer)",
}
_SERIOUS = frozenset(
    {
        *_DENIED,
        *(KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError._RESOLVE),
        *(KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION),
        *(KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM, KafkaError._FATAL),
    }
)


def is_serious(error: KafkaError) -> bool:
    """Return whether a client's error is one to tell of; the others it mends itself."""
    return bool(error.fatal()) or error.code() in _SERIOUS


def in_words(error: KafkaError, access: KafkaAccess, what: str) -> Unavailable:
    """Return a client's error as ours.

    Args:
        error: The client's.
        access: The cluster.
        what: What cannot be done, such as "the topic 'billing' cannot be read".
    """
    code = error.code()
    where = f"Kafka at {access.servers}"
    if code in _DENIED:
        user = access.sasl.user if access.sasl and access.sasl.user else "this client"
        return Unavailable(
            f"{what}: {where} does not allow {user} to use {_DENIED[code]} ({error.str()}). "
            "Ask its operator for an ACL; it goes on by itself",
            AUTH_RETRY_S,
        )
    if code in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        return Unavailable(
            f"{what}: {where} does not take our credentials ({error.str()}). Check 'sasl' in the settings",
            AUTH_RETRY_S,
        )
    if code == KafkaError._SSL:
        return Unavailable(f"{what}: no TLS with {where} ({error.str()}). Check 'tls'", AUTH_RETRY_S)
    if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
        return Unavailable(
            f"{what}: {where} has no such topic or partition. Ask its operator to make it", 10.0
        )
    return Unavailable(f"{what}: {where} cannot be reached or does not answer ({error.str()})", 2.0)


def opened(kind: Callable[[dict[str, Any]], Any], access: KafkaAccess, config: dict[str, Any]) -> Any:
    """Return a client of this kind.

    Raises:
        Refused: The configuration can never work; the client's own words say why.
        Invalid: The same, for a secret.
        Unavailable: A secret's file cannot be read now.
    """
    try:
        return kind({**client_config(access), **config, **access.properties})
    except KafkaException as error:
        raise Refused(
            f"Kafka's client refuses the settings for {access.servers}: {error.args[0].str()}"
        ) from error
