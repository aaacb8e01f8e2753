"""The interface: OpenAI's, as its clients use it, for writing; /v1/classify for labels; health, metrics, description.

One function for each path, then what they share, then `build_app`.
"""

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gpt.errors import UserError
from gpt.serving.engine import FullError
from gpt.serving.gate import Gate, error_response, json_response
from gpt.serving.inspect import Inspector, Judge
from gpt.serving.metrics import Metrics
from gpt.serving.page import show_page
from gpt.serving.privacy import describe_prompt, log
from gpt.serving.replies import ChatReply, CompletionReply, Reply
from gpt.serving.requests import (
    CHAT_FIELDS,
    CLASSIFY_FIELDS,
    COMPLETION_FIELDS,
    MOST_TEXTS,
    ApiError,
    Fields,
    Limits,
    read_object,
)
from gpt.serving.sending import Answer, Texts, in_time, too_busy
from gpt.serving.served import Labeller, Served, Writer

DESCRIPTION = Path(__file__).with_name("openapi.json")
SECONDS_FOR_A_BODY = 20.0


class Api:
    """What the functions share: the models by name, the limits, the metrics."""

    gate: Gate

    def __init__(self, served: Mapping[str, Served], limits: Limits, log_prompts: bool):
        self.served, self.limits, self.log_prompts = served, limits, log_prompts
        self.metrics = Metrics(served)

    async def health(self, request: Request) -> Response:
        stopping = self.gate.stopping
        return json_response({"status": "stopping" if stopping else "ok"}, 503 if stopping else 200)

    async def show_metrics(self, request: Request) -> Response:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def describe(self, request: Request) -> Response:
        return Response(DESCRIPTION.read_bytes(), media_type="application/json")

    async def models(self, request: Request) -> Response:
        return json_response({"object": "list", "data": [self.about(name) for name in self.served]})

    async def model(self, request: Request) -> Response:
        self.find(request.path_params["name"])
        return json_response(self.about(request.path_params["name"]))

    async def completions(self, request: Request) -> Response:
        writing, prompts, echo = Fields(await self.read(request), COMPLETION_FIELDS).completion(self.limits)
        writer = self.find(writing.model)
        if not isinstance(writer, Writer):
            raise ApiError(400, f"{writing.model} labels texts: use /v1/classify", "wrong_model", "model")
        for prompt in prompts:
            self.log_prompt(prompt if isinstance(prompt, str) else f"{len(prompt)} tokens")
        tokens = [writer.encode(prompt) for prompt in prompts]
        return await self.answer(request, writer, CompletionReply(writing, writer.tokenizer, tokens, prompts, echo))

    async def chat(self, request: Request) -> Response:
        writing, messages = Fields(await self.read(request), CHAT_FIELDS).chat(self.limits)
        writer = self.find(writing.model)
        if not isinstance(writer, Writer):
            raise ApiError(400, f"{writing.model} labels texts: use /v1/classify", "wrong_model", "model")
        tokens = [writer.encode_messages(messages)]
        self.log_prompt(messages[-1]["content"])
        return await self.answer(request, writer, ChatReply(writing, writer.tokenizer, tokens))

    async def classify(self, request: Request) -> Response:
        fields = Fields(await self.read(request), CLASSIFY_FIELDS)
        name, texts = fields.text("model"), fields.texts("input", MOST_TEXTS)
        labeller = self.find(name)
        if not isinstance(labeller, Labeller):
            raise ApiError(400, f"{name} writes texts: use /v1/completions", "wrong_model", "model")
        if not texts:
            raise ApiError(400, "input must be a text or a list of texts, which is not empty", "invalid_value", "input")
        for text in texts:
            self.log_prompt(text)
        tokens = [labeller.encode_text(text) for text in texts]
        try:
            answers = await in_time(request.receive, labeller.label(tokens), self.limits.seconds)
        except FullError:
            raise too_busy() from None
        labels = labeller.model.labels
        data: list[dict[str, Any]] = []
        for index, answer in enumerate(answers):
            if labeller.model.is_regression:
                data.append({"index": index, "score": answer[0]})
            else:
                probabilities = dict(zip(labels, answer, strict=True))
                label = labels[answer.index(max(answer))]
                data.append({"index": index, "label": label, "probabilities": probabilities})
        read = sum(map(len, tokens))
        usage = {"prompt_tokens": read, "total_tokens": read}
        return json_response({"object": "list", "model": name, "data": data, "usage": usage})

    def about(self, name: str) -> dict[str, Any]:
        model = self.served[name]
        about = {"id": name, "object": "model", "created": model.created, "owned_by": "you", "kind": model.kind}
        return about | {"context_length": model.context}

    def find(self, name: str) -> Served:
        """A model by its name: looked up among those that are served, never on the disk."""
        if name not in self.served:
            known = ", ".join(self.served)
            raise ApiError(404, f"there is no model {name[:80]!r}; there are: {known}", "model_not_found", "model")
        return self.served[name]

    def log_prompt(self, text: str) -> None:
        if self.log_prompts:
            log.info("prompt: %s", describe_prompt(text))

    async def read(self, request: Request) -> dict[str, Any]:
        """The body as a JSON object, if it is not too large and comes in time."""
        # Web pages elsewhere can send other types without asking (CORS).
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "send JSON, with the header Content-Type: application/json")
        too_large = ApiError(413, f"the request is larger than {self.limits.body:,} bytes: shorten it")
        if (length := request.headers.get("content-length", "0")).isdecimal() and int(length) > self.limits.body:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(SECONDS_FOR_A_BODY):
                async for part in request.stream():
                    body += part
                    if len(body) > self.limits.body:
                        raise too_large
        except TimeoutError:
            raise ApiError(408, f"the request did not come within {SECONDS_FOR_A_BODY:.0f} seconds") from None
        return read_object(bytes(body))

    async def answer(self, request: Request, writer: Writer, reply: Reply) -> Any:
        """Let the texts be written, and send them whole or as they come."""
        texts = Texts(writer, reply.writing, reply.prompts)
        answer = Answer(texts, reply, self.metrics, self.limits.seconds)
        texts.submit()
        return answer if reply.writing.stream else json_response(await answer.whole(request.receive))


async def answer_error(request: Request, error: Exception) -> Response:
    """Any exception of a function above, in OpenAI's shape."""
    if isinstance(error, UserError):
        error = ApiError(400, str(error), "invalid_value")
    elif isinstance(error, HTTPException):  # Starlette's own: no such path, or not with this method
        response = error_response(ApiError(error.status_code, f"{error.detail}: /openapi.json says what there is"))
        response.headers.update(error.headers or {})
        return response
    elif not isinstance(error, ApiError):
        error = ApiError(500, "the server failed at this request; its log says why", "server_error")
    return error_response(error)


def build_app(
    served: Mapping[str, Served],
    limits: Limits,
    key: str | None = None,
    hosts: Collection[str] | None = None,
    log_prompts: bool = False,
    judge: Judge | None = None,
) -> Gate:
    """The whole application. key, hosts: see Gate. log_prompts: write prompts, masked, into the log. judge: of stories,
    see inspect.py."""
    api = Api(served, limits, log_prompts)
    routes = [
        Route("/", show_page),
        Route("/health", api.health),
        Route("/metrics", api.show_metrics),
        Route("/openapi.json", api.describe),
        Route("/v1/models", api.models),
        Route("/v1/models/{name}", api.model),
        Route("/v1/completions", api.completions, methods=["POST"]),
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
        Route("/v1/classify", api.classify, methods=["POST"]),
        *Inspector(api.read, api.find, limits, judge).routes(),
    ]
    errors = dict.fromkeys((ApiError, UserError, HTTPException, Exception), answer_error)
    app = Starlette(routes=routes, exception_handlers=errors)  # type: ignore[arg-type]
    app.router.redirect_slashes = False
    api.gate = Gate(app, api.metrics, {route.path for route in routes}, key, hosts)
    return api.gate
