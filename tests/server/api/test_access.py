"""Who comes in, by which door, and who does not."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import need
from tests.server.api.served import Answer, Served

from penstock.core.errors import Throttled
from penstock.server.api.access import VISITS_MAX, Keys
from penstock.server.api.doors import SOCKET_NAME, kept_token, open_loopback

NOBODY = 65534


def tcp(served: Served, path: str = "/api/v1/status", method: str = "GET", **headers: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    body: object = {} if method in ("POST", "PATCH") else None
    return served.ask_api(method, path, body, given, tcp=True)


def cookie(served: Served) -> str:
    url = served.post("visits", {}, 201)["url"]
    answer = tcp(served, url.partition(f":{served.port}")[2])
    assert answer.status == 303
    return answer.headers["set-cookie"].partition(";")[0]


def test_the_loopback_wants_the_token(served: Served) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {served.token}"}):
        answer = tcp(served, **headers)
        assert answer.status == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert served.token.encode() not in answer.body
    assert tcp(served, authorization=f"Bearer {served.token}").status == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/openapi.json", "/api/v1/live", "/static/x.js", "/none"])
def test_nothing_is_open_without_the_token(served: Served, path: str) -> None:
    assert tcp(served, path).status == 401


def test_a_one_time_address_sets_a_cookie_once(served: Served) -> None:
    url = served.post("visits", {}, 201)["url"]
    path = url.partition(f":{served.port}")[2]
    answer = tcp(served, path)
    assert answer.status == 303
    assert answer.headers["location"] == "/"
    for part in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in answer.headers["set-cookie"]
    assert served.token not in answer.headers["set-cookie"]
    assert tcp(served, path).status == 401
    assert tcp(served, cookie=answer.headers["set-cookie"].partition(";")[0]).status == 200


def test_the_token_itself_opens_the_page_too_but_nothing_else_by_its_address(served: Served) -> None:
    assert tcp(served, f"/?token={served.token}").status == 303
    assert tcp(served, f"/api/v1/status?token={served.token}").status == 401
    assert tcp(served, "/?token=wrong").status == 401
    name = cookie(served).partition("=")[0]
    assert tcp(served, cookie=f"{name}=wrong").status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""]
)
def test_a_foreign_name_that_points_here_gets_nothing(served: Served, host: str) -> None:
    given = {"host": host.replace("{port}", str(served.port)), "authorization": f"Bearer {served.token}"}
    answer = tcp(served, **given)
    assert answer.status == 403
    assert served.token.encode() not in answer.body


def test_our_own_names_are_known(served: Served) -> None:
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        given = {"host": f"{name}:{served.port}", "authorization": f"Bearer {served.token}"}
        assert tcp(served, **given).status == 200


def test_other_sites_pages_can_change_and_read_nothing(served: Served) -> None:
    ours = {"cookie": cookie(served)}
    own = f"http://127.0.0.1:{served.port}"
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": own, "sec-fetch-site": "cross-site"},
    ):
        assert tcp(served, "/api/v1/stop", "POST", **ours, **headers).status == 403, headers
        assert tcp(served, "/api/v1/live", **ours, **headers).status == 403, headers
    assert tcp(served, "/api/v1/stop", "POST", **ours).status == 403
    taken = tcp(served, "/api/v1/visits", "POST", **ours, origin=own, sec_fetch_site="same-origin")
    assert taken.status == 201


def test_every_answer_carries_the_security_headers(served: Served) -> None:
    for answer in (tcp(served), served.ask_api("GET", "status"), served.ask_api("GET", "/none")):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_files_and_folder_are_for_this_user_alone(served: Served) -> None:
    folder = served.places.runtime
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("token", "api.json", SOCKET_NAME):
        assert (folder / name).stat().st_mode & 0o777 == 0o600, name
    assert len(served.token) >= 43


def test_the_token_outlives_a_restart_as_long_as_it_is_private(tmp_path: Path) -> None:
    token = kept_token(tmp_path)
    file = tmp_path / "token"
    assert (kept_token(tmp_path), file.stat().st_mode & 0o777) == (token, 0o600)
    file.chmod(0o640)
    second = kept_token(tmp_path)
    assert second != token
    file.write_text("short")
    third = kept_token(tmp_path)
    assert third not in ("short", second)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert kept_token(tmp_path) != third
    assert not file.is_symlink()


def test_a_new_token_shuts_out_what_the_former_one_opened(served: Served) -> None:
    former = {"authorization": f"Bearer {served.token}"}
    assert served.ask_api("GET", "status", headers=former, tcp=True).status == 200
    visit = served.post("visits", {}, 201)["url"]
    served.post("token", {})
    assert served.ask_api("GET", "status", headers=former, tcp=True).status == 401
    assert served.ask_api("GET", f"/{visit.partition('/?')[2]}", tcp=True).status == 401
    fresh = {"authorization": f"Bearer {served.token}"}
    assert served.ask_api("GET", "status", headers=fresh, tcp=True).status == 200


def test_the_token_is_never_in_the_log(served: Served) -> None:
    tcp(served, f"/?token={served.token}")
    tcp(served, authorization=f"Bearer {served.token}")
    assert served.token not in served.said()


ASK = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
# The refusal comes unasked; what is sent meanwhile would reset the line.
print(peer.recv(4096).split(b"\\r\\n")[0].decode())
"""


def as_nobody(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/python3", "-I", "-c", ASK, str(path)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=20,
        cwd="/",
    )


@contextmanager
def opened(path: Path) -> Iterator[None]:
    """Let every user reach a path, as a careless administrator might."""
    before = {each: each.stat().st_mode for each in (path, *path.parents) if each != Path("/")}
    try:
        for each, mode in before.items():
            each.chmod(mode | 0o777)
        yield
    finally:
        for each, mode in before.items():
            each.chmod(mode & 0o7777)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_cannot_come_in_by_the_unix_socket(served: Served) -> None:
    need("/usr/bin/python3", "python3")
    path = served.places.runtime / SOCKET_NAME
    assert "PermissionError" in as_nobody(path).stderr
    with opened(path):
        assert as_nobody(path).stdout.strip() == "HTTP/1.1 403 Forbidden"
        assert served.get("health") == {"ok": True}


def test_one_time_addresses_are_few() -> None:
    keys = Keys("secret", 1)
    for _ in range(VISITS_MAX):
        keys.visit()
    with pytest.raises(Throttled):
        keys.visit()


def test_a_taken_port_is_told_and_another_one_used(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, open_loopback(other.getsockname()[1]) as ours:
        assert ours.getsockname()[1] not in (0, other.getsockname()[1])
        assert str(other.getsockname()[1]) in caplog.text


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /api/v1/events/%00%ff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET /api/v1/status HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /api/v1/status?" + b"a=b&" * 5000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /api/v1/runs?before=%ff%fe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http://evil.example/api/v1/status HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n\r\n",
    ],
)
def test_malformed_requests_are_no_trouble(served: Served, raw: bytes) -> None:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    peer.connect(served.address()["socket"])
    with peer:
        peer.sendall(raw)
        peer.shutdown(socket.SHUT_WR)
        status = peer.recv(4096)
    assert not status.startswith(b"HTTP/1.1 5"), status
    assert served.get("health") == {"ok": True}


def test_a_silent_connection_does_not_hold_others_up(served: Served) -> None:
    silent = http.client.HTTPConnection("127.0.0.1", served.port)
    silent.connect()
    assert tcp(served, authorization=f"Bearer {served.token}").status == 200
    silent.close()
