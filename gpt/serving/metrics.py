"""Numbers for Prometheus: what was asked, how long it took, how much was written, who waits, how strange inputs are."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gpt.generate import Choice
from gpt.serving.served import Served, Writer

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
NATS = (0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15)


class Metrics:
    """In a registry of its own, so that several servers in one process do not add up."""

    def __init__(self, served: Mapping[str, Served]):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "gpt_requests", "Requests answered; 499: the client hung up.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "gpt_request_seconds", "From a request to the end of its answer.", ["path"], registry=self.registry,
            buckets=SECONDS,
        )  # fmt: skip
        self.first_token = Histogram(
            "gpt_first_token_seconds", "From a request to its first token.", registry=self.registry, buckets=SECONDS
        )
        self.surprise = Histogram(
            "gpt_prompt_surprise_nats",
            "Of each prompt, the mean of -log p of its tokens but the first. When it rises, clients send text that is "
            "unlike what the model was trained on.",
            ["model"],
            registry=self.registry,
            buckets=NATS,
        )
        self.registry.register(EngineNumbers(served))

    def read_prompt(self, model: str, choices: tuple[Choice, ...]) -> None:
        if choices:
            self.surprise.labels(model).observe(-sum(choice.logprob for choice in choices) / len(choices))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class EngineNumbers(Collector):
    """What the engines themselves count, read when it is asked for."""

    def __init__(self, served: Mapping[str, Served]):
        self.writers = {name: model for name, model in served.items() if isinstance(model, Writer)}

    def collect(self) -> Iterable[Metric]:
        tokens = CounterMetricFamily("gpt_generated_tokens", "Tokens written.", labels=["model"])
        waiting = GaugeMetricFamily("gpt_waiting_texts", "Texts that wait for a row.", labels=["model"])
        running = GaugeMetricFamily("gpt_running_texts", "Texts being written.", labels=["model"])
        for name, model in self.writers.items():
            tokens.add_metric([name], model.engine.generated)
            waiting.add_metric([name], len(model.engine.waiting))
            running.add_metric([name], len(model.engine.running))
        return tokens, waiting, running
