"""Replicas of a server on a local Ray cluster."""

import os
import signal
import threading
import urllib.request

import pytest

from lushan.errors import UserError


@pytest.mark.long
@pytest.mark.slow(90)
def test_replicas_answer_and_end(reviews_run):
    pytest.importorskip("ray.serve")
    pytest.importorskip("fastapi")
    import ray

    from lushan.serve import cluster
    from lushan.serve.front import Access
    from lushan.serve.limits import Bounds
    from lushan.serve.listening import bound_socket

    with bound_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    found, key = [], "k" * 16

    def ask():
        try:
            for bearer in ("", f"Bearer {key}"):
                headers = {"Content-Type": "application/json", "Authorization": bearer}
                body = b'{"inputs": [{"text": "a clever film"}]}'
                address = f"http://127.0.0.1:{port}/predict"
                request = urllib.request.Request(address, body, headers)
                try:
                    with urllib.request.urlopen(request, timeout=300) as answer:
                        found.append((answer.status, b"probabilities" in answer.read()))
                except urllib.error.HTTPError as error:
                    found.append((error.code, False))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        cluster.serve(
            [("reviews", str(reviews_run))],
            Access("127.0.0.1", (key,)),
            Bounds(),
            address=cluster.Address("127.0.0.1", port),
            replicas=1,
            started=lambda: threading.Thread(target=ask).start(),
        )
    finally:
        ray.shutdown()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert found == [(401, False), (200, True)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--replicas", "2"], "requires --ray"),
        (["--ray", "--check"], "--ray: does not support --check"),
        (["--ray", "--port", "0"], "or --port 0"),
    ],
)
def test_options_that_do_not_fit(cli_inside, options, message):
    done = cli_inside("serve", "nowhere", *options)
    assert done.code == UserError.exit_code
    assert message in done.err
