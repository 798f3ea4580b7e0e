"""Counts of a server, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lushan.serve.schemas import Usage
from lushan.serve.served import Runs

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class _Queues(Collector):
    """What waits and what runs, asked when it is read."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def collect(self) -> list[Metric]:
        waiting = GaugeMetricFamily("lushan_waiting", "Waiting jobs.", labels=["model"])
        running = GaugeMetricFamily("lushan_running", "Running jobs.", labels=["model"])
        for name, run in self.runs.by_name.items():
            waiting.add_metric([name], sum(worker.waiting for worker in run.workers))
            running.add_metric([name], sum(worker.running for worker in run.workers))
        guard = CounterMetricFamily(
            "lushan_guard", "Refusals and redactions by a guard.", labels=["model", "what"]
        )
        for name, run in self.runs.by_name.items():
            for what, count in dict(run.guard_counts).items():
                guard.add_metric([name, what], count)
        return [waiting, running, guard]


class Counts:
    """Counts requests, their time and tokens.

    Args:
        runs: That are served.
        paths: That are known; others count as one.
    """

    def __init__(self, runs: Runs, paths: Collection[str]) -> None:
        self.paths = frozenset(paths)
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "lushan_requests", "Requests.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "lushan_request_seconds",
            "Duration of requests.",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter("lushan_tokens", "Tokens.", ["model", "kind"], registry=self.registry)
        self.registry.register(_Queues(runs))

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        known = path if path in self.paths else "other"
        self.requests.labels(known, str(status)).inc()
        self.seconds.labels(known).observe(seconds)

    def count(self, model: str, usage: Usage) -> None:
        """Count the tokens of a response."""
        self.tokens.labels(model, "prompt").inc(usage.prompt_tokens)
        self.tokens.labels(model, "written").inc(usage.completion_tokens)

    def text(self) -> bytes:
        """Return all counts in Prometheus' text format."""
        return generate_latest(self.registry)
