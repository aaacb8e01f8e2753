"""Keys, sizes, queues, time and stopping: what a server refuses, and how it says so."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from gpt.serving import privacy
from tests.helpers import ROOT
from tests.serving.conftest import serving, unfinished, until

httpx = pytest.importorskip("httpx")
KEY = "a-key-of-more-than-16"
LONG = {"model": "writer", "prompt": "the cat", "max_tokens": 2000}


@pytest.fixture(scope="module")
def small(folders):
    """One row, one place to wait, 2 kB, and one second."""
    with serving(folders, rows=1, waiting=1, body=2000, seconds=1.0) as server:
        yield server


def test_without_the_key_nothing_but_health_and_the_page_answers(folders):
    with serving(folders[:1], key=KEY) as server, httpx.Client(base_url=server.url) as client:
        paths = [
            "/page.html",
            "/inspect/tokens",
            "/inspect/story",
            "/metrics",
            "/openapi.json",
            "/v1/models",
            "/v1/models/writer",
            "/nothing",
            "/health/",
            f"{server.url}//health",
        ]
        paths += ["/v1/completions", "/v1/chat/completions", "/v1/classify", "/HEALTH", "/health%2f..%2fmetrics"]
        wrong = [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {KEY[:-1]}"}]
        wrong += [{"Authorization": f"Basic {KEY}"}, {"Authorization": KEY}, {"X-Api-Key": KEY}]
        for path in paths:
            for headers in wrong:
                for method in ("GET", "POST", "OPTIONS"):
                    answer = client.request(method, path, headers=headers)
                    assert answer.status_code == 401, (path, method)
                    assert answer.json()["error"]["code"] == "invalid_api_key"
        assert client.get("/health").json() == {"status": "ok"} and KEY not in client.get("/").text
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200


def test_another_host_name_is_refused_where_the_server_knows_its_own(folders):
    with serving(folders[:1], hosts=("127.0.0.1", "localhost", "[::1]")) as server:
        for host, status in (("evil.example", 400), ("localhost:1234", 200), ("127.0.0.1", 200), ("[::1]:8000", 200)):
            assert httpx.get(f"{server.url}/v1/models", headers={"Host": host}).status_code == status


def test_too_many_texts_are_told_when_to_try_again(small):
    with httpx.Client(base_url=small.url, timeout=20) as client:
        with client.stream("POST", "/v1/completions", json=LONG | {"stream": True}) as first:
            lines = first.iter_lines()  # httpx hangs up when nobody holds it
            next(lines)
            waiting = threading.Thread(target=lambda: client.post("/v1/completions", json=LONG))
            waiting.start()
            until(lambda: unfinished(small.served["writer"]) == 2)
            refused = client.post("/v1/completions", json=LONG)
            assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
            assert refused.json()["error"]["type"] == "rate_limit_error"
            assert 'gpt_waiting_texts{model="writer"} 1.0' in client.get("/metrics").text
        waiting.join()
        assert client.post("/v1/classify", json={"model": "labeller", "input": ["x"] * 3}).status_code == 429


def test_what_is_too_large_is_refused_whether_it_says_so_or_not(small):
    def parts():
        for _ in range(100):
            yield b'{"model": "' + b"x" * 1000

    headers = {"content-type": "application/json"}
    for content in (b"x" * 2001, parts()):
        answer = httpx.post(f"{small.url}/v1/completions", content=content, headers=headers)
        assert answer.status_code == 413 and "2,000 bytes" in answer.json()["error"]["message"]


def test_a_text_that_takes_too_long_is_ended_and_its_row_is_free(small, monkeypatch):
    engine = small.served["writer"].engine
    turn = engine._turn
    monkeypatch.setattr(engine, "_turn", lambda: (time.sleep(0.05), turn()))
    with httpx.Client(base_url=small.url, timeout=20) as client:
        answer = client.post("/v1/completions", json=LONG)
        assert answer.status_code == 504 and answer.headers["x-should-retry"] == "false"
        until(lambda: not engine.unfinished)
        with client.stream("POST", "/v1/completions", json=LONG | {"stream": True}) as stream:
            last = [line for line in stream.iter_lines() if line][-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "time_limit"


def test_no_text_is_longer_than_the_server_allows_not_even_where_none_was_asked_for(folders):
    with serving(folders, max_tokens=5) as server, httpx.Client(base_url=server.url) as client:
        ask = {"model": "answerer", "messages": [{"role": "user", "content": "where is the cat?"}], "seed": 3}
        for path, body in (("chat/completions", ask), ("completions", {"model": "writer", "prompt": "the cat"})):
            for seed in range(4):
                usage = client.post(f"/v1/{path}", json=body | {"seed": seed, "temperature": 2}).json()["usage"]
                assert 0 < usage["completion_tokens"] <= 5


def test_metrics_count_requests_tokens_and_how_strange_prompts_are(folders):
    with serving(folders) as server, httpx.Client(base_url=server.url) as client:
        for _ in range(2):
            client.post("/v1/completions", json=LONG | {"max_tokens": 7, "n": 2})
        client.get("/some/path/of/a/scanner")
        text = client.get("/metrics").text

        def value(name):
            return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])

        assert value('gpt_requests_total{path="/v1/completions",status="200"}') == 2
        assert value('gpt_requests_total{path="other",status="404"}') == 1
        assert value('gpt_generated_tokens_total{model="writer"}') == 28
        assert value('gpt_prompt_surprise_nats_count{model="writer"}') == 2  # once a prompt
        assert value('gpt_prompt_surprise_nats_sum{model="writer"}') > 1
        assert value("gpt_first_token_seconds_count") == 2
        assert value('gpt_request_seconds_bucket{le="+Inf",path="/v1/completions"}') == 2
        assert value('gpt_waiting_texts{model="writer"}') == 0


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ada.l+x@example.co.uk now", "write to [e-mail] now"),
        ("我的邮箱 张三@例子.中国 谢谢", "我的邮箱 [e-mail] 谢谢"),
        ("card 4111 1111-1111 1111, pin 12", "card [number], pin [number]"),
        ("+49 (170) 123-45 67", "[number]"),
        ("call ４２ or ٤٢", "call [number] or [number]"),
        ("sk-proj-abcDEFghi is mine", "[key] is mine"),
        ("hf_abcdefgh, Bearer 0a1B2c3D4e5F6g7H8", "[key], Bearer [key]"),
        ("a\nforged line\x1b[31m 🐱", "a forged line [[number]m 🐱"),
        ("a well-known internationalisation", "a well-known internationalisation"),
    ],
)
def test_a_log_masks_addresses_numbers_and_keys(text, masked):
    assert privacy.mask(text) == masked


def test_half_an_address_at_the_end_of_a_shown_prompt_is_masked():
    text = "x " * (privacy.LONGEST_SHOWN // 2 - 2) + "ada@example.com" * 50
    assert "ada" not in privacy.describe_prompt(text)


def test_masking_a_megabyte_takes_no_time():
    for text in ("a" * 2**20, "1." * 2**19, "a@" * 2**19, "sk-" * 2**18, "1 " * 2**19 + "x", "-" * 2**20):
        start = time.perf_counter()
        privacy.describe_prompt(text)
        assert time.perf_counter() - start < 3


def test_prompts_are_logged_only_when_asked_for_and_masked(folders, caplog):
    caplog.set_level("INFO")
    secret = LONG | {"prompt": "ada@example.com 12345", "max_tokens": 1}
    for asked in (False, True):
        with serving(folders, log_prompts=asked) as server:
            httpx.post(f"{server.url}/v1/completions", json=secret)
            httpx.post(f"{server.url}/v1/classify", json={"model": "labeller", "input": "Bob 77"})
            httpx.get(f"{server.url}/ada@example.com/12345?key=sk-12345678")
        shown = caplog.text
        assert ("prompt: [e-mail] [number]" in shown) == ("prompt: Bob [number]" in shown) == asked
        for word in ("ada@", "12345", "77", "sk-"):
            assert word not in "".join(r.getMessage() for r in caplog.records if not r.name.startswith("httpx"))
    assert "POST /v1/completions 200" in caplog.text


def test_an_exception_in_the_log_does_not_quote_a_client():
    formatter = privacy.PrivateFormatter()
    try:
        raise KeyError("ada@example.com 12345")
    except KeyError:
        shown = formatter.formatException(sys.exc_info())
    assert "KeyError" in shown and "test_limits.py" in shown
    assert "ada@" not in shown.splitlines()[-1] and "12345" not in shown.splitlines()[-1]


def start(*flags):
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "serve.py", "--port", "0", "--device", "cpu", *flags], cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    first = process.stdout.readline()
    assert "/v1 (Ctrl-C stops)" in first, process.stderr.read()
    return process, re.search(r"http://\S+(?=/v1)", first)[0]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_sigterm_finishes_what_runs_refuses_the_rest_and_stops(folders, tmp_path):
    pytest.importorskip("starlette", reason="serving needs requirements/serve.txt")
    (tmp_path / "key").write_text(KEY + "\n", encoding="utf-8")
    process, url = start("--model", str(folders[0]), str(folders[2]), "--key-file", str(tmp_path / "key"))
    try:
        with (
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30) as client,
            client.stream("POST", "/v1/completions", json=LONG | {"stream": True, "max_tokens": 500}) as stream,
        ):
            lines = stream.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            until(lambda: client.get("/health").status_code == 503)
            refused = client.post("/v1/completions", json=LONG)
            assert refused.status_code == 503 and refused.json()["error"]["code"] == "stopping"
            assert "retry-after" in refused.headers
            assert [line for line in lines if line][-1] == "data: [DONE]"
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0 and out == "stopped\n"
    assert KEY not in err and "Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to another process")
def test_a_second_ctrl_c_stops_at_once(folders):
    pytest.importorskip("starlette", reason="serving needs requirements/serve.txt")
    process, url = start("--model", str(folders[0]), "--max-tokens", "100000000")
    try:
        with httpx.stream("POST", f"{url}/v1/completions", json=LONG | {"stream": True, "max_tokens": 10**8}) as stream:
            lines = stream.iter_lines()
            next(lines)
            process.send_signal(signal.SIGINT)
            until(lambda: httpx.get(f"{url}/health").status_code == 503)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
    except httpx.RemoteProtocolError:
        pass  # the stream was cut off, as it should be
    finally:
        process.kill()
    assert process.wait() == 0
