"""What the page asks beside texts and labels: how likely each token was, what else could have come, where heads look.

Each path reads a few tokens and answers with numbers; nothing is written. First what they compute, from a model and
tokens alone, then the paths.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gpt.errors import UserError
from gpt.finetuning.prefix import FastPrefixAttention, PrefixAttention
from gpt.generate import check_prompt, check_vocabulary, score
from gpt.inside.interpret import answer_scores, predictions_of, reasons, trace
from gpt.model import GPT
from gpt.serving.engine import FullError
from gpt.serving.gate import json_response
from gpt.serving.replies import finite, show
from gpt.serving.requests import CLASSIFY_FIELDS, ApiError, Fields, Limits
from gpt.serving.sending import in_time, too_busy
from gpt.serving.served import Labeller, OneThread, Served, Writer
from gpt.tokenizer import Tokenizer

Judge = Callable[[str], dict[str, Any]]  # a text -> its verdict, of which "bits" are -log2 of its probability, or None
INSPECT_FIELDS = {"model", "prompt", "token"}
LONGEST_INSPECTED = 512  # tokens; the attention of all heads grows with the square
NUM_NAMED, NUM_IN_A_LAYER = 50, 3  # likeliest tokens whose text is sent


def rounded(values: list[float]) -> list[float]:
    """Four places behind the point are more than a page can show."""
    return [round(finite(value), 4) for value in values]


def describe_tokens(tokenizer: Tokenizer, tokens: list[int]) -> list[dict[str, Any]]:
    return [{"id": token, "text": show(tokenizer.decode_bytes([token]))} for token in tokens]


def inspect_tokens(model: GPT, tokenizer: Tokenizer, tokens: list[int]) -> dict[str, Any]:
    """Each token and its log-probability in nats; nothing stands before the first one, so it has none."""
    logprobs = [choice.logprob for choice in score(model, tokens)] if len(tokens) > 1 else []
    known = {"end_of_text": tokenizer.end_of_text, "context_length": model.config.context_length}
    return {"tokens": describe_tokens(tokenizer, tokens), "logprobs": [None, *rounded(logprobs)]} | known


def inspect_next(model: GPT, tokenizer: Tokenizer, tokens: list[int], token: int | None) -> dict[str, Any]:
    """What comes after `tokens`: the log-probabilities of the whole vocabulary, best first; the names of the best; what
    each layer would say (the logit lens), the embedding first, and how likely `token` is there."""
    states, _ = trace(model, tokens)
    lens = predictions_of(model, states[:, -1]).cpu()  # (L + 1, V)
    values, ids = lens[-1].sort(descending=True, stable=True)
    tops, firsts = lens.topk(min(NUM_IN_A_LAYER, lens.size(1)))  # 2 × (L + 1, 3)
    layers = [
        {
            "tokens": describe_tokens(tokenizer, first),
            "logprobs": rounded(top),
            "token_logprob": None if token is None else rounded([float(layer[token])])[0],
        }
        for layer, top, first in zip(lens, tops.tolist(), firsts.tolist(), strict=True)
    ]
    named = describe_tokens(tokenizer, ids[:NUM_NAMED].tolist())
    return {"tokens": named, "logprobs": rounded(values.tolist()), "layers": layers}


def inspect_attention(model: GPT, tokens: list[int]) -> dict[str, Any]:
    """Where each head of each layer looks from the last token: layers of heads of one share for each token. Raises
    UserError for a model with a prefix, which takes a part of the attention and is no token."""
    if any(isinstance(part, PrefixAttention | FastPrefixAttention) for part in model.modules()):
        raise UserError("this model was adapted with a prefix, which is no token, so its attention is not shown")
    _, weights = trace(model, tokens)  # (L, nh, T, T)
    return {"attention": [[rounded(head) for head in layer] for layer in weights[:, :, -1].tolist()]}


def inspect_label(labeller: Labeller, tokens: list[int]) -> dict[str, Any]:
    """The label and how much each token moved it: towards it above 0, towards the second best below."""
    model, tokenizer = labeller.model, labeller.tokenizer
    best, moved = reasons(model, tokens)
    logits = answer_scores(model, tokens).detach().float()
    start = int(tokenizer.add_bos_token)  # leave out the token that only marks the beginning of a text
    named, shares = describe_tokens(tokenizer, tokens[start:]), rounded(moved[start:].tolist())
    answer: dict[str, Any] = {"tokens": named, "moved": shares}
    if model.is_regression:
        return answer | {"score": float(logits)}
    names = [model.labels[place] for place in best]
    probabilities = dict(zip(model.labels, rounded(logits.softmax(0).tolist()), strict=True))
    return answer | {"label": names[0], "other": names[-1], "probabilities": probabilities}


def inspect_story(model: GPT, tokenizer: Tokenizer, tokens: list[int], judge: Judge) -> dict[str, Any]:
    """The judge's verdict, and how many bits the model needed for what the judge gives the fewest possible of."""
    end = [tokenizer.end_of_text]
    tokens = [token for token in tokens if token != tokenizer.end_of_text]
    text = tokenizer.decode(tokens)
    verdict = judge(text)
    whole = end * (verdict["bits"] is not None)  # the decision to end is part of a story that has one
    nats = -sum(choice.logprob for choice in score(model, end + tokens + whole)) if tokens else 0.0
    return verdict | {"model_bits": round(nats / math.log(2), 4), "bytes": len(text.encode())}


class Inspector:
    """The paths. read, find: Api's, for the body of a request and for a model by its name."""

    def __init__(
        self,
        read: Callable[[Request], Awaitable[dict[str, Any]]],
        find: Callable[[str], Served],
        limits: Limits,
        judge: Judge | None,
    ):
        self.read, self.find, self.limits, self.judge = read, find, limits, judge

    def routes(self) -> list[Route]:
        paths = {"tokens": self.tokens, "next": self.next, "attention": self.attention, "label": self.label}
        if self.judge is not None:
            paths["story"] = self.story
        return [Route(f"/inspect/{name}", path, methods=["POST"]) for name, path in paths.items()]

    async def tokens(self, request: Request) -> Response:
        writer, tokens, _ = await self.prompt(request)
        job = partial(inspect_tokens, writer.engine.model, writer.tokenizer, tokens)
        return await self.answer(request, writer.looking, job)

    async def next(self, request: Request) -> Response:
        writer, tokens, token = await self.prompt(request)
        check_vocabulary(writer.engine.model, [] if token is None else [token])
        job = partial(inspect_next, writer.engine.model, writer.tokenizer, tokens, token)
        return await self.answer(request, writer.looking, job)

    async def attention(self, request: Request) -> Response:
        writer, tokens, _ = await self.prompt(request)
        return await self.answer(request, writer.looking, partial(inspect_attention, writer.engine.model, tokens))

    async def story(self, request: Request) -> Response:
        assert self.judge is not None
        writer, tokens, _ = await self.prompt(request, whole=True)
        job = partial(inspect_story, writer.engine.model, writer.tokenizer, tokens, self.judge)
        return await self.answer(request, writer.looking, job)

    async def label(self, request: Request) -> Response:
        fields = Fields(await self.read(request), CLASSIFY_FIELDS)
        labeller = self.find(fields.text("model"))
        if not isinstance(labeller, Labeller):
            raise ApiError(400, "this model writes texts: use /inspect/tokens", "wrong_model", "model")
        job = partial(inspect_label, labeller, labeller.encode_text(fields.text("input")))
        return await self.answer(request, labeller.labelling, job)

    async def prompt(self, request: Request, whole: bool = False) -> tuple[Writer, list[int], int | None]:
        """(The model of a request, its prompt as tokens, its "token", which only `next` looks at). A model that was
        fine-tuned to answer reads a text as a question. whole: the prompt may be longer than the context. Raises
        UserError, too."""
        fields = Fields(await self.read(request), INSPECT_FIELDS)
        writer = self.find(fields.text("model"))
        if not isinstance(writer, Writer):
            raise ApiError(400, "this model labels texts: use /inspect/label", "wrong_model", "model")
        prompt = fields.prompt()
        if isinstance(prompt, str) and prompt.strip() and writer.room is not None:
            tokens = writer.encode_messages([{"role": "user", "content": prompt}])
        else:
            tokens = writer.encode(prompt)
        if len(tokens) > LONGEST_INSPECTED:
            raise UserError(
                f"the text has {len(tokens)} tokens: at most {LONGEST_INSPECTED} are looked into; shorten it"
            )
        check_vocabulary(writer.engine.model, tokens)
        if not whole:
            check_prompt(writer.engine.model, tokens, 0)
        return writer, tokens, fields.whole("token", 0, 2**31)

    async def answer(self, request: Request, thread: OneThread, job: Callable[[], dict[str, Any]]) -> Response:
        try:
            [content] = await in_time(request.receive, thread.run([job]), self.limits.seconds)
        except FullError:
            raise too_busy() from None
        return json_response(content)
