"""Who may post to a source: a bearer token, a password, or a signature over the body.

The settings name where the secret is (``{file = "/etc/penstock/s3.secret"}`` or ``{env = "S3_SECRET"}``),
never the secret itself. It is read at each start.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from penstock.core.errors import Invalid, Unauthenticated
from penstock.outside.secret import Secret

SECRET_CHARACTERS_MIN = 16
"""Shortest secret accepted; anybody can try, as often as they like."""


class TokenDoor:
    """Lets in who shows the secret: ``Authorization: Bearer SECRET``, or as the password of ``Basic``."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def check(self, headers: Mapping[str, str], body: bytes) -> None:  # noqa: ARG002 - a door's shape
        """Return if the sender may post.

        Raises:
            Unauthenticated: It may not; the secret itself is never in the message.
        """
        given = headers.get("authorization", "")
        if not given:
            raise Unauthenticated("no secret was sent; expected the header 'Authorization: Bearer SECRET'")
        scheme, _, rest = given.partition(" ")
        shown = _password(rest) if scheme.lower() == "basic" else rest.strip().encode()
        if scheme.lower() not in ("bearer", "basic") or not hmac.compare_digest(shown, self._secret):
            raise Unauthenticated("the secret in the header 'Authorization' is not the one set up here")


def _password(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


class SignatureDoor:
    """Lets in who signed the body: HMAC-SHA256 in hexadecimal, with or without ``sha256=`` before it."""

    def __init__(self, secret: bytes, header: str) -> None:
        self._secret = secret
        self._header = header.lower()

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Return if the sender signed this body.

        Raises:
            Unauthenticated: It did not, or with another secret.
        """
        given = headers.get(self._header)
        if given is None:
            raise Unauthenticated(f"the body is not signed; expected the header {self._header!r}")
        wanted = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(given.strip().removeprefix("sha256=").lower().encode(), wanted.encode()):
            raise Unauthenticated(f"the signature in {self._header!r} does not fit body and secret")


Door = TokenDoor | SignatureDoor


def opened(secret: Secret, signature_header: str = "") -> Door:
    """Return the door for these settings.

    Raises:
        Invalid: The secret is not set, or too short; or the header's name is none.
        Unavailable: The secret's file cannot be read now.
    """
    found = secret.read().strip()
    if len(found) < SECRET_CHARACTERS_MIN:
        raise Invalid(
            f"the secret in {secret.file or secret.env} has {len(found)} characters; expected "
            f"{SECRET_CHARACTERS_MIN} at least (make one: openssl rand -hex 32)"
        )
    if not signature_header:
        return TokenDoor(found.encode())
    if not signature_header.isascii() or " " in signature_header:
        raise Invalid(
            f"'signature_header' is {signature_header!r}; expected a name such as X-Hub-Signature-256"
        )
    return SignatureDoor(found.encode(), signature_header)
