"""What a server refuses: too much, too many, too late, from elsewhere, without a key."""

from __future__ import annotations

import concurrent.futures
import json
import socket
import threading
import time

import httpx
import pytest
from tests.helpers.served import serving
from tests.helpers.waiting import until

from lushan.models.running_batch import RunningBatch
from lushan.serve.front import Access
from lushan.serve.limits import Bounds

KEY = "a-key-of-more-than-16-letters"
BODY = {"model": "lm", "prompt": "the", "max_tokens": 4, "temperature": 0}
ENDLESS = {**BODY, "max_tokens": 400, "seed": 1, "temperature": 1}
BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def server(lm_run):
    bounds = Bounds(batch=1, waiting=2, seconds=20, body=1 << 16, new_tokens=400)
    with serving({"lm": lm_run}, bounds) as running:
        yield running


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def slow(server):
    """The server's writer, which makes a step only where it is released."""
    worker = server.served[0].writes.writer
    work, steps = worker.work, threading.Semaphore(0)

    def later():
        steps.acquire(timeout=30)
        work()

    worker.work = later
    yield steps
    worker.work = work
    steps.release(10_000)


def error(response):
    found = response.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


@pytest.mark.fault(47)
def test_a_body_of_ten_megabytes_is_refused(http):
    for content in (b" " * 10_000_000, iter([b" " * 1_000_000] * 10)):  # with its length, without
        response = http.post("/v1/completions", content=content)
        assert response.status_code == 413
        assert error(response)["code"] == "too_large"
    assert http.post("/v1/completions", json=BODY).status_code == 200


MALFORMED = [
    b"",
    b"{",
    b'{"model": "lm", "prompt": "a", "temperature": NaN}',
    b"[" * 30_000,
    b'{"prompt": "\xff"}',
    b"null",
    b"[]",
    b'"prompt"',
    b'{"prompt": {"a": 1}}',
    b'{"prompt": "\\ud83d"}',
    b'{"prompt": "a", "prompt ": "b"}',
    b'{"prompt": "a", "max_tokens": 1e400}',
    b'{"prompt": "a", "max_tokens": ' + b"9" * 5000 + b"}",
    b'{"prompt": "a", "temperature": "0"}',
]


@pytest.mark.fault(48)
@pytest.mark.parametrize("content", MALFORMED, ids=[str(m[:40]) for m in MALFORMED])
def test_a_malformed_body_is_refused_and_the_server_lives(http, content):
    headers = {"Content-Type": "application/json"}
    response = http.post("/v1/completions", content=content, headers=headers)
    assert 400 <= response.status_code < 500, response.text
    assert error(response)["type"] == "invalid_request_error"
    assert http.get("/health").status_code == 200


@pytest.mark.fault(49)
def test_a_burst_beyond_the_queue_is_refused_with_a_time(server, http, slow):
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(httpx.post, f"{server.url}/v1/completions", json=BODY, timeout=60)
                 for _ in range(12)]  # fmt: skip
        # One is at work at most, and two wait.
        until(lambda: sum(one.done() for one in asked) >= 9)
        slow.release(1000)
        found = [one.result() for one in asked]
    refused = [response for response in found if response.status_code != 200]
    assert {response.status_code for response in refused} == {429}
    assert len(refused) in (9, 10)
    assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
    assert http.post("/v1/completions", json=BODY).status_code == 200


@pytest.mark.slow(1)
def test_what_takes_too_long_is_refused_and_frees_its_place(lm_run):
    with serving({"lm": lm_run}, Bounds(batch=1, seconds=0.3)) as running:
        worker = running.served[0].writes.writer
        work = worker.work
        worker.work = lambda: (time.sleep(0.1), work())
        late = httpx.post(f"{running.url}/v1/completions", json=ENDLESS, timeout=60)
        assert late.status_code == 504
        assert error(late)["code"] == "timeout"
        with httpx.stream(
            "POST", f"{running.url}/v1/completions", json={**ENDLESS, "stream": True}, timeout=60
        ) as response:
            lines = [line for line in response.iter_lines() if line]
        assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "timeout"
        until(lambda: not worker.running)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_place(server, http, slow, stream):
    worker = server.served[0].writes.writer
    body = json.dumps({**ENDLESS, "stream": stream}).encode()
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as raw:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}"
        raw.sendall(f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body)
        slow.release(20)
        until(lambda: worker.running)
        if stream:
            assert raw.recv(100).startswith(b"HTTP/1.1 200")
    until(lambda: server.front.active == 0)
    slow.release(3)
    until(lambda: worker.running == 0)
    slow.release(1000)
    assert http.post("/v1/completions", json=BODY).status_code == 200


def test_another_host_or_origin_is_refused(server, http):
    port = server.url.rpartition(":")[2]
    rebound = http.get("/v1/models", headers={"Host": f"evil.example:{port}"})
    assert (rebound.status_code, error(rebound)["code"]) == (403, "host")
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{int(port) + 1}"):
        other = http.post("/v1/completions", json=BODY, headers={"Origin": origin})
        assert (other.status_code, error(other)["code"]) == (403, "origin")
    own = {"Origin": server.url}
    assert http.post("/v1/completions", json=BODY, headers=own).status_code == 200
    assert http.get("/", headers={"Host": f"localhost:{port}"}).status_code == 200


def test_every_response_is_protected(http):
    for path in ("/", "/v1/models", "/there/is/none"):
        headers = http.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers or "uvicorn" in headers["server"]


@pytest.mark.slow(1)
def test_a_key_is_asked_for(lm_run):
    with (
        serving({"lm": lm_run}, keys=[KEY, "another" * 3]) as running,
        httpx.Client(base_url=running.url) as http,
    ):
        for path in ("/health", "/ready", "/"):
            assert http.get(path).status_code == 200
        for headers in (
            {},
            {"Authorization": "Bearer " + KEY[:-1]},
            {"Authorization": KEY},
            {"Authorization": b"Bearer \xff\xfe"},
        ):
            for path in ("/v1/models", "/metrics", "/openapi.json"):
                refused = http.get(path, headers=headers)
                assert refused.status_code == 401
                assert refused.headers["www-authenticate"] == "Bearer"
        assert http.get("/v1/models", headers=BEARER).status_code == 200
        other = {"Authorization": "bearer " + "another" * 3, "Host": "some.name"}
        assert http.get("/v1/models", headers=other).status_code == 200


@pytest.mark.fault(50)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com"])
def test_without_a_key_only_loopback_is_listened_at(refused, host):
    error = refused(Access.of, host, None, {})
    assert (error.key, error.value) == ("--host", host)


def test_keys_come_from_a_file_or_the_environment(tmp_path, refused):
    file = tmp_path / "keys"
    file.write_text(f"{KEY}\n\n{KEY[::-1]}\n")
    assert Access.of("::", file, {}).keys == (KEY, KEY[::-1])
    assert Access.of("0.0.0.0", None, {"LUSHAN_KEY": f" {KEY}\n"}).keys == (KEY,)
    assert refused(Access.of, "::", None, {"LUSHAN_KEY": "short"}).key == "LUSHAN_KEY"
    file.write_text("\n")
    assert refused(Access.of, "::1", file, {}).key == "--key-file"
    assert refused(Access.of, "::1", tmp_path, {}).problem == "the key file cannot be read"
    missing = refused(Access.of, "::1", tmp_path / "none", {})
    assert (missing.key, missing.problem) == ("--key-file", "the file does not exist")
    assert missing.value == str(tmp_path / "none")
    for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1"):
        assert Access.of(host, None, {}).keys == ()


def test_counts_are_prometheus_text(server, http):
    http.post("/v1/completions", json=BODY)
    until(lambda: not server.served[0].writes.writer.running)
    text = http.get("/metrics").text
    from prometheus_client.parser import text_string_to_metric_families

    found = {
        (s.name, *sorted(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert found["lushan_requests_total", ("path", "/v1/completions"), ("status", "200")] >= 1
    assert found["lushan_tokens_total", ("kind", "written"), ("model", "lm")] >= 4
    assert found["lushan_running", ("model", "lm")] == 0
    assert "/there/is/none" not in text


def test_a_failure_is_said_without_a_users_text(server, http, monkeypatch, capsys):
    secret = "a private sentence"

    def broken(self, newcomers=()):
        raise ValueError(f"cannot read {secret}")

    with monkeypatch.context() as patch:
        patch.setattr(RunningBatch, "advance", broken)
        response = http.post("/v1/completions", json={**BODY, "prompt": secret})
    assert response.status_code == 500
    assert error(response)["message"] == "the model failed: ValueError"
    printed = capsys.readouterr().err
    assert "a request failed: ValueError (test_front.py:" in printed
    assert secret not in printed
    assert http.post("/v1/completions", json=BODY).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "[::1"}, "host"),
        ({"Host": "evil.com@localhost"}, "host"),
        ({"Host": "localhost/evil.com"}, "host"),
        ({"Origin": "http://["}, "origin"),
    ],
)
def test_a_host_or_origin_that_is_no_address_is_refused(http, headers, code):
    response = http.get("/health", headers=headers)
    assert response.status_code == 403
    assert error(response)["code"] == code


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" * 30_000, "nested too deeply"),
        (b'{"prompt": "\xff"}', "not UTF-8"),
        (b'{"max_tokens": ' + b"9" * 5000 + b"}", "too many digits"),
    ],
)
def test_a_body_that_ends_the_reader_of_json_says_why(http, content, reason):
    headers = {"Content-Type": "application/json"}
    found = error(http.post("/v1/completions", content=content, headers=headers))
    assert reason in found["message"]
    assert found["code"] == "invalid_json"


def test_what_curl_does_by_default_is_said_to_be_no_json(http):
    for headers in ({"Content-Type": "application/x-www-form-urlencoded"}, {}):
        response = http.post("/v1/completions", content=json.dumps(BODY), headers=headers)
        assert response.status_code == 400
        assert "Content-Type: application/json" in error(response)["message"]
    found = error(http.post("/v1/completions", json=[1]))
    assert "the body must be an object with prompt; found a list" in found["message"]


def test_a_stated_length_beyond_all_bounds_is_refused_before_the_body(server, http):
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    for length in (10**9, 10**19):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
            assert b"413" in connection.recv(1000).splitlines()[0]
    assert http.post("/v1/completions", json=BODY).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_a_method_that_is_not_answered_names_the_one_that_is(http, method):
    response = http.request(method, "/v1/completions")
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    if method != "HEAD":
        assert error(response)["message"] == (
            f"{method} is not allowed here; use POST /v1/completions"
        )


def test_a_path_that_is_not_served_names_those_that_are(http):
    response = http.post("/predict", json={})
    assert response.status_code == 404
    assert "/v1/completions" in error(response)["message"]


@pytest.mark.parametrize(
    ("stop", "param", "message"),
    [
        (["a"] * 17, "stop", "at most 16 entries"),
        (["a", 1], "stop[1]", "must be a text of"),
        (["a", "b" * 1001], "stop[1]", "at most 1,000 characters"),
        (5, "stop", "must be a text of"),
    ],
)
def test_of_a_value_of_several_types_what_is_wrong_is_said(http, stop, param, message):
    response = http.post("/v1/completions", json={**BODY, "stop": stop})
    assert response.status_code == 400
    assert error(response)["param"] == param
    assert message in error(response)["message"]


def test_a_stop_string_is_bounded(http):
    response = http.post("/v1/completions", json={**BODY, "stop": "a" * 1001})
    assert response.status_code == 400
    assert error(response)["param"] == "stop"
    assert http.post("/v1/completions", json={**BODY, "stop": ["a" * 1000]}).status_code == 200
