"""The server as a stranger meets it: on this machine only, by its own names only, and no URL names a file."""

import http.client
import json
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from testbed.dashboard.guard import names_of, refusal_of
from testbed.dashboard.server import listen
from testbed.errors import TransportError
from tests.testbed.dashboard.conftest import line, round_of


@contextmanager
def page_of(*directories, arguments=()):
    """The port of a page, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "testbed", "dashboard", "--port", "0", *arguments, *map(str, directories)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        said = process.stdout.readline()
        assert said.startswith("dashboard at http://127.0.0.1:")
        yield int(said.rstrip("/\n").rpartition(":")[2])
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def port(finished):
    with page_of(finished) as found:
        yield found


def answer(port, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = b"" if response.getheader("content-type", "").startswith("text/event-stream") else response.read()
    connection.close()
    return response, body


@contextmanager
def events_of(port):
    """Updates as they come, decoded."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.status == 200

    def updates():
        while raw := response.readline():
            if raw.startswith(b"data: "):
                yield json.loads(raw[6:])

    yield updates()
    response.close()
    connection.close()


def test_the_page_may_load_nothing_from_elsewhere(port):
    response, body = answer(port)
    assert response.status == 200
    assert "default-src 'self'" in response.getheader("content-security-policy")
    assert response.getheader("x-content-type-options") == "nosniff"
    assert response.getheader("server") is None
    assert b"http://" not in body
    assert b"https://" not in body
    assert b"<style" not in body
    assert b"style=" not in body


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1", "", "a@localhost", "[::2]"],
)
def test_a_name_that_somebody_else_gave_this_machine_is_refused(port, host):
    for path in ("/", "/events", "/main.js"):
        response, body = answer(port, path, Host=host)
        assert response.status == 403
        assert b"allowed: 127.0.0.1" in body


def test_its_own_names_are_served_through_a_tunnel_of_any_port(port):
    for host in ("localhost:9999", "127.0.0.1", f"127.0.0.1:{port}", "LOCALHOST", "[::1]:8050"):
        assert answer(port, Host=host)[0].status == 200


def test_two_names_or_none_are_refused():
    assert refusal_of([(b"host", b"localhost"), (b"host", b"localhost")], names_of("127.0.0.1")) is not None
    assert refusal_of([], names_of("127.0.0.1")) is not None


def test_another_page_in_the_same_browser_cannot_ask(port):
    assert answer(port, "/events", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0].status == 403
    assert answer(port, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0].status == 200
    assert answer(port, "/", Origin="http://evil.example")[0].getheader("access-control-allow-origin") is None


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/config.toml",
        "/vendor/uPlot.min.css",
        "//etc/passwd",
        "/page/main.js",
    ],
)
def test_no_path_of_a_url_reaches_the_file_system(port, path):
    assert answer(port, path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_nothing_can_be_written(port, method):
    assert answer(port, "/events", method)[0].status == 405
    assert answer(port, "/", method)[0].status == 405


def test_rounds_are_told_as_they_are_written(growing):
    with page_of(growing) as port, events_of(port) as updates:
        first = next(updates)["runs"][0]
        assert (first["state"]["rounds_done"], first["state"]["status"]) == (0, "running")
        for t in range(3):
            with (growing / "rounds.jsonl").open("ab") as file:
                file.write(line(round_of(t)))
            while (run := next(updates)["runs"][0])["state"]["rounds_done"] == t:
                pass
            assert run["state"]["rounds_done"] == t + 1
            assert run["state"]["latest"]["loss"] == {"value": 1 / (t + 1), "round": t + 1}


def test_several_pages_are_told_the_same_and_too_many_are_refused(growing):
    from testbed.dashboard.watcher import MAX_STREAMS

    with page_of(growing) as port:
        opened = []
        for _ in range(MAX_STREAMS):
            stream = events_of(port)
            updates = stream.__enter__()
            assert next(updates)["num_runs"] == 1
            opened.append(stream)
        assert answer(port, "/events")[0].status == 503
        for stream in opened:
            stream.__exit__(None, None, None)


def test_a_port_that_is_taken_is_said_and_the_default_gives_way():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(TransportError, match="choose another port"):
            listen("127.0.0.1", other.getsockname()[1])
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        first.listen()
        assert first.getsockname() != second.getsockname() or first.getsockname()[1] == 8050


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org", "localhost", "224.0.0.1"])
def test_only_one_address_is_listened_at(host):
    with pytest.raises(TransportError, match="--host"):
        listen(host, 0)
