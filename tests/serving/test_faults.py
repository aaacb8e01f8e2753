"""What a network and its people do: noise, silence, half a request, hanging up. No row may be lost, and no memory."""

import gc
import json
import random
import socket
import time

import pytest

import serve
from tests.serving.conftest import serving, unfinished, until

httpx = pytest.importorskip("httpx")
BODY = json.dumps({"model": "writer", "prompt": "the cat", "max_tokens": 2000, "stream": True}).encode()
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
REQUEST = HEAD % len(BODY) + BODY


@pytest.fixture(scope="module")
def shared(folders):
    with serving(folders, rows=4, waiting=4) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_is_lost(shared):
    """After each fault all rows are free, nothing is being answered, and the next client gets its text."""
    yield
    until(lambda: not any(map(unfinished, shared.served.values())))
    until(lambda: not shared.gate.active)
    body = json.loads(BODY) | {"stream": False, "max_tokens": 3}
    for _ in range(5):
        answer = httpx.post(f"{shared.url}/v1/completions", json=body)
        assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] == 3
    assert httpx.get(f"{shared.url}/health").json() == {"status": "ok"}


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_random_bytes_are_no_request(shared):
    draw = random.Random(0)
    for i in range(60):
        with connect(shared) as client:
            noise = draw.randbytes(draw.randint(1, 3000))
            client.sendall(noise if i % 2 else REQUEST[: draw.randint(0, len(REQUEST) - 1)] + noise)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(100)
            assert not answer or answer.startswith(b"HTTP/1.1 4")


def test_requests_with_flipped_bytes_are_answered_or_refused(shared):
    draw = random.Random(1)
    for _ in range(60):
        request = bytearray(REQUEST.replace(b"2000", b"   2"))
        for _ in range(draw.randint(1, 4)):
            request[draw.randrange(len(request))] = draw.randrange(256)
        with connect(shared) as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(100)
            assert not answer or answer[:10] in (b"HTTP/1.1 2", b"HTTP/1.1 4")


def test_a_client_that_hangs_up_in_mid_stream_frees_its_row_at_once(shared):
    """Many times, in every way: after the request, in the headers, in the text; politely, and by a reset."""
    draw, engine = random.Random(2), shared.served["writer"].engine
    for i in range(60):
        client = connect(shared)
        client.sendall(REQUEST)
        for _ in range(draw.randint(0, 3)):
            client.recv(draw.randint(1, 500))
        if i % 3 == 0:  # close() will send a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
        if i % 4 == 0:
            until(lambda: not engine.unfinished, 2)  # 2,000 tokens would take longer


def test_a_client_that_hangs_up_before_its_whole_answer_frees_its_row(shared):
    body = BODY.replace(b"true", b"false")
    for _ in range(10):
        with connect(shared) as client:
            client.sendall(HEAD % len(body) + body)
            until(lambda: shared.served["writer"].engine.running)
        until(lambda: not shared.served["writer"].engine.unfinished, 2)


def test_a_half_closed_connection_counts_as_hung_up(shared):
    with connect(shared) as client:
        client.sendall(REQUEST)
        until(lambda: shared.served["writer"].engine.running)
        client.shutdown(socket.SHUT_WR)
        until(lambda: not shared.served["writer"].engine.unfinished, 2)


def test_a_slow_sender_does_not_hold_up_the_others(shared, monkeypatch):
    monkeypatch.setattr("gpt.serving.api.SECONDS_FOR_A_BODY", 0.5)
    with connect(shared) as slow:
        slow.sendall(HEAD % len(BODY) + BODY[:10])
        for _ in range(3):
            assert httpx.get(f"{shared.url}/v1/models").status_code == 200
            time.sleep(0.02)
        assert not shared.served["writer"].engine.unfinished  # half a request takes no row
        assert b" 408 " in slow.recv(1000).split(b"\r\n")[0]


def test_a_client_that_says_nothing_is_hung_up_on(folders, monkeypatch):
    monkeypatch.setattr("gpt.serving.server.SECONDS_FOR_HEADERS", 0.3)
    with serving(folders[:1]) as server:
        for words in (b"", b"POST /v1/comp"):
            with connect(server) as silent:
                silent.sendall(words)
                assert silent.recv(100) == b""


def test_a_client_that_does_not_read_does_not_hold_its_row(folders, monkeypatch):
    """Its text is made and waits for it, and the row goes to the next."""
    listen = serve.listen

    def listen_with_small_buffers(*address):
        listener = listen(*address)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return listener

    monkeypatch.setattr(serve, "listen", listen_with_small_buffers)
    body = json.dumps(json.loads(BODY) | {"max_tokens": 200, "logprobs": 20}).encode()  # hundreds of kB to send
    with serving(folders[:1], rows=1) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(HEAD % len(body) + body)
        until(lambda: server.served["writer"].engine.generated == 200)
        until(lambda: not server.served["writer"].engine.unfinished)
        assert server.gate.active == 1  # it is still being sent to
        answer = httpx.post(f"{server.url}/v1/completions", json=json.loads(BODY) | {"stream": False, "max_tokens": 3})
        assert answer.status_code == 200


def test_hanging_up_a_hundred_times_leaves_no_objects_behind(shared):
    from gpt.serving.engine import Generation, Running
    from gpt.serving.rows import CacheRow
    from gpt.serving.sending import Answer

    def hang_up(times):
        for _ in range(times):
            with connect(shared) as client:
                client.sendall(REQUEST)
                client.recv(50)
        until(lambda: not shared.served["writer"].engine.unfinished)
        until(lambda: not shared.gate.active)
        gc.collect()
        objects = gc.get_objects()
        kinds = (Generation, Running, CacheRow, Answer)
        return {kind.__name__: sum(type(o) is kind for o in objects) for kind in kinds} | {"all": len(objects)}

    hang_up(20)
    before = hang_up(20)
    after = hang_up(100)
    assert sum(after[name] for name in ("Generation", "Running", "CacheRow", "Answer")) <= 8  # of the last turn
    assert after["all"] < before["all"] + 500
