"""Who may come in, and by which door. Everything passes here, the page as well.

- By the Unix socket: who the kernel says has our user id, or is root (see ``doors``).
- By TCP on the loopback: who shows the token, as ``Authorization: Bearer`` or as the cookie that a
  visit with ``?token=`` has set. ``Host`` must be ours, so that a foreign name that points here (DNS
  rebinding) gets nothing; another site's page may neither change anything nor ask the API.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from email.utils import formatdate
from time import monotonic, time
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.core.errors import Forbidden, Refused, Throttled, Unauthenticated
from penstock.server.api.problems import response_of

DOOR = "penstock.door"
UNIX = "unix"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
API = "/api/"
"""Paths that no other site's page may ask for, whatever the method."""
VISITS_MAX = 32
"""One-time addresses that are open at once."""
VISIT_S = 300.0
"""How long a one-time address works, in seconds."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every response, unless it has its own."""


class Keys:
    """The token, the cookie made from it, and one-time addresses.

    Args:
        token: Secret; whoever has it may do everything.
        port: Of the loopback door.
    """

    def __init__(self, token: str, port: int) -> None:
        self.port = port
        self.cookie = f"penstock-{port}"
        self.hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"})
        self.renew(token)

    def renew(self, token: str) -> None:
        """Take another token; the former one, cookies made from it and open addresses open nothing more."""
        self._token = token.encode()
        self._session = hmac.new(self._token, b"cookie", hashlib.sha256).hexdigest()
        self._visits: dict[str, float] = {}

    def visit(self) -> str:
        """Return an address that opens the page once, within ``VISIT_S``."""
        now = monotonic()
        self._visits = {code: end for code, end in self._visits.items() if end > now}
        if len(self._visits) >= VISITS_MAX:
            raise Throttled(f"{VISITS_MAX} one-time addresses are open already; use one of them", VISIT_S)
        code = secrets.token_urlsafe(32)
        self._visits[code] = now + VISIT_S
        return f"http://127.0.0.1:{self.port}/?token={code}"

    def opens(self, given: str) -> bool:
        """Whether ``?token=`` may set the cookie; a one-time one is used up by asking."""
        used = [code for code in self._visits if _same(code.encode(), given)]
        ends = [self._visits.pop(code) for code in used]
        return any(end > monotonic() for end in ends) or self.is_token(given)

    def is_token(self, given: str) -> bool:
        """Whether this is the token."""
        return _same(self._token, given)

    def is_session(self, given: str) -> bool:
        """Whether this is the cookie's value."""
        return _same(self._session.encode(), given)

    def cookie_header(self) -> str:
        """Return the ``Set-Cookie`` header's value."""
        return f"{self.cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict"


def _same(secret: bytes, given: str) -> bool:
    return hmac.compare_digest(secret, given.encode("utf-8", "replace"))


class Access:
    """ASGI middleware in front of everything.

    Args:
        app: What is behind it.
        keys: Opens the loopback door.
    """

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer why not."""
        if scope["type"] != "http":
            return
        send = _secured(send)
        app = self._app
        if scope.get("state", {}).get(DOOR) != UNIX:
            try:
                app = self._checked(scope) or app
            except Refused as error:
                app = _refusal(error, scope)
        await app(scope, receive, send)

    def _checked(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token") if _is_visit(scope) else None
        if given:
            return self._enter(given[0], scope, headers)
        by_cookie = self._authenticate(headers)
        if scope["method"] not in SAFE or scope["path"].startswith(API):
            self._check_origin(headers, strict=by_cookie and scope["method"] not in SAFE)
        return None

    def _check_host(self, headers: Headers) -> None:
        host = headers.getlist("host")
        if len(host) != 1 or host[0].lower() not in self._keys.hosts:
            raise Forbidden(
                f"the Host header must be 127.0.0.1:{self._keys.port}; this looks like DNS rebinding"
            )

    def _authenticate(self, headers: Headers) -> bool:
        """Return whether a cookie opened, rather than the token itself."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._keys.is_token(token.strip()):
            return False
        if self._has_session(headers):
            return True
        raise Unauthenticated(
            "send 'Authorization: Bearer' with the token from the file 'token' in Penstock's runtime folder; "
            "in a browser, open the address that `penstock open` prints"
        )

    def _has_session(self, headers: Headers) -> bool:
        return any(self._keys.is_session(value) for value in _cookies(headers, self._keys.cookie))

    def _check_origin(self, headers: Headers, *, strict: bool) -> None:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin.lower() not in {f"http://{host}" for host in self._keys.hosts}:
            raise Forbidden("the request comes from another site's page (Origin); that is not allowed")
        if site is not None and site not in ("same-origin", "none"):
            raise Forbidden(
                "the request comes from another site's page (Sec-Fetch-Site); that is not allowed"
            )
        if strict and origin is None and site is None:
            raise Forbidden("with a cookie, a change needs the Origin header; programs use the token instead")

    def _enter(self, given: str, scope: Scope, headers: Headers) -> ASGIApp:
        if not (self._keys.opens(given) or self._has_session(headers)):
            raise Unauthenticated(
                "this address was used already, or is too old; `penstock open` makes a new one"
            )
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query.pop("token")
        rest = urlencode(query, doseq=True)
        there = f"/?{rest}" if rest else "/"
        return RedirectResponse(there, 303, {"Set-Cookie": self._keys.cookie_header()})


def _is_visit(scope: Scope) -> bool:
    return (scope["method"], scope["path"]) == ("GET", "/")


def _cookies(headers: Headers, name: str) -> list[str]:
    pairs = (part.strip().partition("=") for line in headers.getlist("cookie") for part in line.split(";"))
    return [value for key, _, value in pairs if key == name]


def _refusal(error: Refused, scope: Scope) -> ASGIApp:
    if "text/html" in Headers(scope=scope).get("accept", ""):
        return PlainTextResponse(f"Penstock: {error}\n", error.status)
    response = response_of(error)
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _secured(send: Send) -> Send:
    """Return ``send`` with our headers added to every response."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Date", formatdate(int(time()), usegmt=True))
        await send(message)

    return sending
