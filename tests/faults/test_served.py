"""A server as a process: it drains at a first signal, ends at a second, and logs no text."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading

import httpx
import pytest

from tests.helpers import command
from tests.helpers.waiting import until

pytestmark = [pytest.mark.slow(1), pytest.mark.xdist_group("served")]
SECRET = "a private sentence about Anna"


class Process:
    """`lushan serve` at a free port."""

    def __init__(self, cwd, *arguments):
        self.process = command.started(
            "serve", *arguments, "--port", "0", cwd=cwd, env={"OMP_NUM_THREADS": "1"}, merged=True
        )
        self.printed = ""
        self.cwd = cwd
        self._read = threading.Thread(target=self._follow, daemon=True)
        self._read.start()
        self.url = self.says(r"^(http://\S+?)/$")[1]

    def says(self, pattern):
        """Wait until a line has been printed, and return its match."""
        return until(
            lambda: re.search(pattern, self.printed, re.M),
            process=self.process,
            said=lambda: self.printed,
        )

    def _follow(self):
        for line in self.process.stdout:
            self.printed += line

    def ended(self):
        code = self.process.wait(60)
        self._read.join(10)
        return code


def streamed(url, tokens):
    """A stream that has begun: the client, its response and an iterator of its chunks."""
    body = {"prompt": SECRET, "max_tokens": tokens, "seed": 1, "stream": True}
    client = httpx.Client(timeout=60)
    request = client.build_request("POST", f"{url}/v1/completions", json=body)
    response = client.send(request, stream=True)
    assert response.status_code == 200
    lines = response.iter_lines()
    next(lines)
    return client, lines


def test_a_first_signal_drains_and_new_requests_are_refused(lm_run, tmp_path):
    server = Process(tmp_path, lm_run)
    assert httpx.get(f"{server.url}/ready").json() == {"status": "ready"}
    client, lines = streamed(server.url, 400)
    server.process.send_signal(signal.SIGTERM)
    statuses = set()
    server.says("shutting down after")
    try:
        statuses.add(httpx.post(f"{server.url}/v1/completions", json={"prompt": "a"}).status_code)
        statuses.add(httpx.get(f"{server.url}/ready").status_code)
        assert httpx.get(f"{server.url}/health").status_code == 200
    except httpx.TransportError:
        pass  # the stream was quicker
    assert statuses <= {503}
    rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    assert json.loads(rest[-2].removeprefix("data: "))["choices"][0]["finish_reason"]
    client.close()
    assert server.ended() == 0
    assert "all requests were answered" in server.printed
    assert SECRET not in server.printed
    assert "Anna" not in server.printed


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_at_once(lm_run, tmp_path, sent, code):
    server = Process(tmp_path, lm_run)
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as raw:
        # A request that never ends to arrive: the server would wait for it.
        raw.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{"
        )
        until(lambda: "lushan_requests" in httpx.get(f"{server.url}/metrics").text)
        server.process.send_signal(sent)
        # 2 where the last look at the metrics has been answered and is not counted as ended yet.
        server.says("shutting down after [12] current requests")
        server.process.send_signal(sent)
        assert server.ended() == code


@pytest.mark.fault(50)
def test_a_server_that_others_could_reach_needs_a_key(lm_run, tmp_path, cli_inside):
    done = cli_inside("serve", lm_run, "--host", "0.0.0.0", "--port", "0")
    assert done.code == 2
    assert "--key-file" in done.err


def test_a_taken_port_is_said_before_a_model_is_loaded(lm_run, cli_inside):
    from lushan.serve.listening import bound_socket

    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = cli_inside("serve", lm_run, "--port", port)
    assert done.code == 2
    assert "--port: cannot listen on this address" in done.err


def test_two_runs_of_one_name_are_refused_and_can_be_named(lm_run, chat_run, cli_inside):
    done = cli_inside("serve", lm_run, lm_run, "--port", "0", "--check")
    assert done.code == 2
    assert "lushan serve first=" in done.err
    done = cli_inside("serve", f"a={lm_run}", f"b={chat_run}", "--port", "0", "--check")
    assert done.code == 0
    assert "a: /v1/completions\nb: /v1/chat/completions, /v1/completions\n" in done.err
