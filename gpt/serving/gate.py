"""The gate before the API: the key, the host, stopping; and for every request a line in the log and in the metrics."""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpt.serving.metrics import Metrics
from gpt.serving.privacy import log, mask
from gpt.serving.requests import ApiError

OPEN_PATHS = ("/health", "/")  # what answers without the key, and while the server stops; the page asks for the key
# What a client should do about an error; the last header is one of OpenAI's.
RETRY = {429: {"retry-after": "1"}, 503: {"retry-after": "5"}, 504: {"x-should-retry": "false"}}


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON that a person can read, too: Chinese as it is, and not in escapes; half a character becomes "?"."""
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status, headers, media_type="application/json")


def error_response(error: ApiError) -> Response:
    return json_response(error.content, error.status, RETRY.get(error.status))


class Gate:
    """An ASGI application around another one.

    key: what a client must send as "Authorization: Bearer KEY"; without it nothing but OPEN_PATHS answers. None: no key
    is needed. hosts: the names by which the server may be addressed; None: any. A web page elsewhere cannot read from a
    server that knows its names, even if it lets its own name point here (DNS rebinding).
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, paths: Collection[str], key: str | None, hosts: Collection[str] | None
    ):
        self.app, self.metrics, self.paths, self.hosts = app, metrics, paths, hosts
        self.key = None if key is None else self.digest(key.encode())
        self.active = 0  # requests that are being answered
        self.stopping = False  # answer those, and no others

    @staticmethod
    def digest(key: bytes) -> bytes:
        return hashlib.sha256(key).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, status = time.perf_counter(), 499  # nginx's number for a client that hung up

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.active += 1
        refusal = self.refusal(scope)
        try:
            app = self.app if refusal is None else error_response(refusal)
            await app(scope, receive, send_and_see)
        except ClientDisconnect:
            status = 499
        except Exception:  # Starlette has answered 500; here it is only told
            log.exception("a request failed")
        finally:
            self.active -= 1
            seconds = time.perf_counter() - start
            known = scope["path"] in self.paths
            path = scope["path"] if known else "other"
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(seconds)
            shown = path if known else mask(scope["path"][:200])
            method = scope["method"] if scope["method"] in ("GET", "POST") else mask(scope["method"][:20])
            log.info("%s %s %d %.0f ms", method, shown, status, 1000 * seconds)
        return None

    def refusal(self, scope: Scope) -> ApiError | None:
        """Why a request may not pass."""
        headers = Headers(scope=scope)
        host = re.sub(r":\d*$", "", headers.get("host", ""))  # without the port
        if self.hosts is not None and host not in self.hosts:
            return ApiError(400, f"this server is known as {', '.join(self.hosts)}", "unknown_host")
        if scope["path"] in OPEN_PATHS:
            return None
        if self.key is not None:
            kind, _, given = headers.get("authorization", "").partition(" ")
            correct = hmac.compare_digest(self.digest(given.strip().encode("latin-1", "replace")), self.key)
            if kind.lower() != "bearer" or not correct:
                return ApiError(401, "the key is missing or wrong: send Authorization: Bearer KEY", "invalid_api_key")
        if self.stopping:
            return ApiError(503, "the server is stopping", "stopping")
        return None
