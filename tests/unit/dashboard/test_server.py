"""The dashboard over real sockets: who may ask, what is answered, and when it ends."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from dolambda.dashboard.server import Dashboard
from dolambda.records.file_format import ErrorEntry, footer_frame
from dolambda.records.store import RecordStore
from support.records import append, some_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVIL = "</script><img src=x onerror=alert(1)>"


class Client:
    """A browser's requests, with the headers that a test wants."""

    def __init__(self, server: Dashboard) -> None:
        self.server = server
        self.port = server.server_port
        self.cookie = ""

    def request(
        self, path: str, headers: dict[str, str] | None = None, *, method: str = "GET"
    ) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            known = {"Cookie": self.cookie} if self.cookie else {}
            connection.request(method, path, headers={**known, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def status(self, path: str, headers: dict[str, str] | None = None) -> int:
        return self.request(path, headers)[0]

    @property
    def entrance(self) -> str:
        link = urlsplit(self.server.access.link)
        return f"{link.path}?{link.query}"

    def enter(self) -> str:
        status, headers, _ = self.request(self.entrance)
        assert status == 200
        cookie = headers["Set-Cookie"]
        self.cookie = cookie.partition(";")[0]
        return str(cookie)


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "runs")


@pytest.fixture
def client(store: RecordStore) -> Iterator[Client]:
    server = Dashboard(store)
    thread = threading.Thread(target=server.serve_until_idle, args=(600.0,))
    thread.start()
    try:
        yield Client(server)
    finally:
        server.last_use = -1e9
        thread.join(30)
        assert not thread.is_alive()


def test_without_the_link_nothing_is_shown(client: Client) -> None:
    for path in (
        "/",
        "/update",
        "/runs/a",
        "/live.js",
        "/?token=",
        "/?token=guess",
        "/update?token=x",
    ):
        status, headers, text = client.request(path)
        assert status == 403
        assert "Set-Cookie" not in headers
        assert "<" not in text


def test_the_token_is_exchanged_once_for_a_cookie_that_scripts_cannot_read(client: Client) -> None:
    cookie = client.enter()
    assert {part.strip() for part in cookie.split(";")[1:]} == {
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
    }
    token = client.entrance.partition("token=")[2]
    assert token not in cookie
    assert client.status("/") == 200
    client.cookie = ""
    status, headers, _ = client.request(client.entrance)
    assert status == 403
    assert "Set-Cookie" not in headers


def test_of_two_who_use_the_token_at_once_one_gets_in(client: Client) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(client.status(client.entrance)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [200] + [403] * 7


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""]
)
def test_another_host_is_refused_with_the_cookie_too(client: Client, host: str) -> None:
    client.enter()
    assert client.status("/", {"Host": host.format(port=client.port)}) == 403


def test_another_host_does_not_use_up_the_token(client: Client) -> None:
    assert client.status(client.entrance, {"Host": "evil.example"}) == 403
    assert client.status(client.entrance, {"Origin": "null"}) == 403
    client.enter()


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:{port}", ""]
)
def test_another_origin_is_refused_with_the_cookie_too(client: Client, origin: str) -> None:
    client.enter()
    assert client.status("/update", {"Origin": origin.format(port=client.port)}) == 403


def test_its_own_origin_is_answered_and_no_other_may_read_that(client: Client) -> None:
    client.enter()
    own = {"Origin": f"http://127.0.0.1:{client.port}", "Sec-Fetch-Site": "same-origin"}
    status, headers, _ = client.request("/update", own)
    assert status == 200
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_port_sends_the_cookie_in_vain(client: Client, site: str) -> None:
    client.enter()
    assert client.status("/update", {"Sec-Fetch-Site": site}) == 403


def test_two_hosts_are_none(client: Client) -> None:
    client.enter()
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        hosts = f"Host: 127.0.0.1:{client.port}\r\n" * 2
        request = f"GET / HTTP/1.1\r\n{hosts}Cookie: {client.cookie}\r\n\r\n"
        connection.sendall(request.encode())
        assert b" 403 " in connection.recv(1000)


@pytest.mark.parametrize("path", ["/", "/update", "/live.js", "/nothing", "/runs/none"])
def test_every_answer_forbids_the_network_and_being_framed(client: Client, path: str) -> None:
    client.enter()
    headers = client.request(path)[1]
    policy = dict(
        rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
def test_only_get_is_answered(client: Client, method: str) -> None:
    assert client.request(client.entrance, method=method)[0] == 405
    client.enter()  # the token was not used up
    assert client.request("/", method=method)[0] == 405


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "..%2Fsecret",
        "%2e%2e/secret",
        "..%5Csecret",
        "%00",
        "",
        ".",
        "a/../a",
        "secret",
    ],
)
def test_only_files_of_the_directory_are_read(
    client: Client, store: RecordStore, name: str
) -> None:
    append(store, "a", b"")
    (store.directory.parent / "secret.run").write_bytes(
        next(store.directory.iterdir()).read_bytes()
    )
    client.enter()
    for path in (f"/runs/{name}", f"/runs/{name}/update", f"/{name}/x"):
        status, _, text = client.request(path)
        assert status == 404
        assert "fit.py" not in text


def test_a_running_record_is_read_on(client: Client, store: RecordStore) -> None:
    append(store, "one", some_tasks(20).to_bytes())
    client.enter()
    assert ">20<" in client.request("/runs/one")[2]
    first = json.loads(client.request("/runs/one/update?seen=")[2])
    assert not first["final"]
    same = json.loads(client.request(f"/runs/one/update?seen={first['version']}")[2])
    assert (same["html"], same["version"]) == (None, first["version"])
    frame = some_tasks(30, first=20).to_bytes()
    append(store, "one", frame[:50])  # half of it is written
    assert ">20<" in json.loads(client.request("/runs/one/update?seen=")[2])["html"]
    append(store, "one", frame[50:])
    grown = json.loads(client.request(f"/runs/one/update?seen={first['version']}")[2])
    assert ">50<" in grown["html"]
    append(store, "one", footer_frame({"tasks": 50, "done": 50, "failed": 0}))
    assert json.loads(client.request("/runs/one/update?seen=")[2])["final"]


def test_the_list_has_all_runs(client: Client, store: RecordStore) -> None:
    client.enter()
    assert "No run has been recorded yet" in client.request("/")[2]
    append(store, "one", some_tasks(20).to_bytes())
    ended = {"tasks": 7, "done": 7, "failed": 0, "elapsed": 1.0, "cost": 0.0123}
    append(store, "two", footer_frame(ended))
    append(store, "three", footer_frame(ended), emulated=True)
    (store.directory / "broken.run").write_bytes(b"no record")
    text = client.request("/")[2]
    assert '<a href="/runs/one">' in text
    assert '<a href="/runs/two">' in text
    assert "running" in text
    assert "complete" in text
    assert '<td class="n">$0.0123</td>' in text
    assert '<td class="n">would be $0.0123</td>' in text
    assert "broken" not in text
    assert client.status("/runs/broken") == 404


def test_text_of_a_program_is_escaped(client: Client, store: RecordStore) -> None:
    errors = (ErrorEntry(3, "failure", EVIL, EVIL),)
    append(store, "evil", some_tasks(20, name=EVIL, errors=errors).to_bytes())
    client.enter()
    for path in ("/", "/runs/evil", "/runs/evil/update"):
        assert "<img" not in client.request(path)[2]


def test_a_page_that_is_forgotten_keeps_no_dashboard(client: Client, store: RecordStore) -> None:
    append(store, "done", footer_frame({"tasks": 0, "done": 0, "failed": 0}))
    client.enter()
    before = client.server.last_use
    client.request("/update")
    client.request("/runs/done/update")
    client.cookie, kept = "", client.cookie
    client.request("/")
    assert client.server.last_use == before
    client.cookie = kept
    client.request("/")
    assert client.server.last_use > before


def test_it_ends_when_nobody_asks(store: RecordStore) -> None:
    server = Dashboard(store)
    server.serve_until_idle(0.3)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.server_port), timeout=30)


def test_who_says_nothing_is_not_waited_for(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Dashboard(store)
    monkeypatch.setattr(server.RequestHandlerClass, "timeout", 0.2)
    thread = threading.Thread(target=server.serve_until_idle, args=(600.0,))
    thread.start()
    try:
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as connection:
            connection.sendall(b"GET / HT")
            assert connection.recv(100) == b""
    finally:
        server.last_use = time.monotonic() - 1e6
        thread.join(30)


def test_it_listens_on_this_machine_alone(store: RecordStore) -> None:
    server = Dashboard(store)
    try:
        assert server.server_address[0] == "127.0.0.1"
    finally:
        server.server_close()


def test_what_it_writes_has_no_token(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.enter()
    client.status(client.entrance)
    client.request("/", method="POST")
    written = capfd.readouterr()
    assert written.out + written.err == ""
