"""uvicorn, with two manners more: it stops politely, and it does not wait for ever for the first word of a client."""

import asyncio
import socket
from types import FrameType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpt.serving.gate import Gate
from gpt.serving.privacy import log_to_stderr

MOST_CONNECTIONS = 1000  # open at a time, the idle ones among them
SECONDS_FOR_HEADERS = 20.0


class PromptProtocol(H11Protocol):
    """Hangs up on a client whose first headers do not come."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.hurry = self.loop.call_later(SECONDS_FOR_HEADERS, self.hang_up_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        self.hurry.cancel()
        super().connection_lost(exc)

    def hang_up_if_silent(self) -> None:
        if self.cycle is None:  # no request has begun
            self.transport.close()


class PoliteServer(uvicorn.Server):
    """On Ctrl-C or SIGTERM answers what it has begun to answer, refuses the rest (503), and stops; when asked again,
    stops at once."""

    gate: Gate

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.gate.stopping:
            self.should_exit = self.force_exit = True
        self.gate.stopping = True

    async def on_tick(self, counter: int) -> bool:  # ten times a second
        if self.gate.stopping and self.gate.active == 0:
            self.should_exit = True
        return await super().on_tick(counter)


def build_server(gate: Gate) -> PoliteServer:
    config = uvicorn.Config(
        gate, http=PromptProtocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        log_level="warning", limit_concurrency=MOST_CONNECTIONS, timeout_keep_alive=30, timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = PoliteServer(config)
    server.gate = gate
    return server


def serve(gate: Gate, listener: socket.socket) -> None:
    """Answer until a signal comes, and everything that was begun is answered."""
    log_to_stderr()
    server = build_server(gate)
    asyncio.run(server.serve([listener]))
