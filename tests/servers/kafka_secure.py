"""The same broker behind TLS: SCRAM and OAUTHBEARER, access lists; certificates and tokens of our own."""

from __future__ import annotations

import base64
import json
import subprocess
import time

from tests.servers.kafka import Kafka
from tests.servers.server import free_port, program

ADMIN, ADMIN_PASSWORD = "admin", "admin-secret"
AUDIENCE, ISSUER = "kafka", "https://issuer.example.org"
_LOGIN = "org.apache.kafka.common.security"


class SecureKafka(Kafka):
    """A broker that wants to know who asks, and lets nobody do what no list allows.

    Attributes:
        ca: File with the certificate that the broker's is signed with: its own.
    """

    name = "kafka-secure"

    def prepare(self) -> None:
        """Make a certificate and a key for tokens, besides the rest."""
        self.oauth_port = free_port()
        self.ca = self.folder / "broker.crt"
        self._certificate()
        self._token_key()
        super().prepare()

    @property
    def oauth_address(self) -> str:
        """``host:port`` for clients with tokens."""
        return f"127.0.0.1:{self.oauth_port}"

    def properties(self) -> dict[str, str]:
        """Return listeners with TLS and SASL, and the authorizer."""
        ports = {"CONTROLLER": self.controller_port, "SCRAM": self.port, "OAUTH": self.oauth_port}
        clients = ",".join(f"{name}://127.0.0.1:{ports[name]}" for name in ("SCRAM", "OAUTH"))
        oauth = "listener.name.oauth.oauthbearer."
        module = f'{_LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="x";'
        return {
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"{clients},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": clients,
            "listener.security.protocol.map": "CONTROLLER:SASL_PLAINTEXT,SCRAM:SASL_SSL,OAUTH:SASL_SSL",
            "inter.broker.listener.name": "SCRAM",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256,OAUTHBEARER",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-256",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule required "
            f'username="{ADMIN}" password="{ADMIN_PASSWORD}" user_{ADMIN}="{ADMIN_PASSWORD}";',
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "listener.name.scram.scram-sha-256.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required "
            f'username="{ADMIN}" password="{ADMIN_PASSWORD}";',
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{oauth}sasl.jaas.config": module,
            f"{oauth}sasl.server.callback.handler.class": f"{_LOGIN}.oauthbearer."
            "OAuthBearerValidatorCallbackHandler",
            f"{oauth}sasl.oauthbearer.jwks.endpoint.url": self._jwks.as_uri(),
            f"{oauth}sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{oauth}sasl.oauthbearer.expected.issuer": ISSUER,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN}",
            "log.dirs": str(self.folder / "data"),
        }

    def format(self, *options: str) -> None:
        """Make its storage, with the administrator in it."""
        scram = f"SCRAM-SHA-256=[name={ADMIN},password={ADMIN_PASSWORD}]"
        super().format("--add-scram", scram, *options)

    def java_options(self) -> list[str]:
        """Allow the file that tokens are checked with."""
        return [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._jwks.as_uri()}"]

    def described(self) -> dict[str, str]:
        """Return how it is reached."""
        return {
            "address": self.address,
            "oauth": self.oauth_address,
            "ca": str(self.ca),
            "user": ADMIN,
            "password": ADMIN_PASSWORD,
        }

    def token(self, subject: str, lifetime_s: float = 300.0) -> str:
        """Return a token for ``subject``, signed with the key that the broker knows."""
        now = int(time.time())
        claims = {"sub": subject, "aud": AUDIENCE, "iss": ISSUER, "iat": now, "exp": int(now + lifetime_s)}
        head = _base64url(json.dumps({"alg": "RS256", "kid": "1", "typ": "JWT"}).encode())
        signed = f"{head}.{_base64url(json.dumps(claims).encode())}"
        command = [_openssl(), "dgst", "-sha256", "-sign", str(self.folder / "token.key")]
        signature = subprocess.run(command, input=signed.encode(), capture_output=True, check=True).stdout
        return f"{signed}.{_base64url(signature)}"

    def _certificate(self) -> None:
        key, both = self.folder / "broker.key", self.folder / "broker.pem"
        command = [_openssl(), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", str(key), "-out", str(self.ca)]
        subprocess.run(command, check=True, capture_output=True)
        both.write_text(key.read_text() + self.ca.read_text())

    def _token_key(self) -> None:
        key, self._jwks = self.folder / "token.key", self.folder / "jwks.json"
        subprocess.run([_openssl(), "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        command = [_openssl(), "rsa", "-in", str(key), "-noout", "-modulus"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        modulus = bytes.fromhex(said.strip().partition("=")[2])
        jwk = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "e": "AQAB", "n": _base64url(modulus)}
        self._jwks.write_text(json.dumps({"keys": [jwk]}))


def _openssl() -> str:
    return program("openssl", "openssl")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
