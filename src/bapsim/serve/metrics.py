"""Figures for Prometheus. With several workers each writes into files of a folder that all of them share
(PROMETHEUS_MULTIPROC_DIR, set before this is imported), and any of them can add all up.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
OWN = CollectorRegistry()
MODEL = ("model", "role")

REQUESTS = Counter("bapsim_requests", "HTTP requests by route and status", ("route", "status"), registry=OWN)
LATENCY = Histogram(
    "bapsim_request_seconds", "Seconds a request took", ("route",), registry=OWN, buckets=SECONDS
)
ROWS = Counter("bapsim_answers", "Rows answered, by model and its role", MODEL, registry=OWN)
MODEL_SECONDS = Histogram(
    "bapsim_model_seconds", "Seconds in the queue and the model", MODEL, registry=OWN, buckets=SECONDS
)
ERRORS = Counter("bapsim_model_errors", "Requests on which a model failed", MODEL, registry=OWN)
FEEDBACK = Counter("bapsim_feedback", "Feedback by kind", ("kind",), registry=OWN)
WAITING = Gauge("bapsim_rows_waiting", "Rows not answered yet", registry=OWN, multiprocess_mode="livesum")
LOG_FAILING = Gauge(
    "bapsim_log_failing", "1 while the log cannot be written", registry=OWN, multiprocess_mode="livemax"
)
LOG_LOST = Gauge(
    "bapsim_log_lost_lines", "Lines of the log that were lost", registry=OWN, multiprocess_mode="livesum"
)
LOG_LINES = Gauge("bapsim_log_lines", "Lines written", registry=OWN, multiprocess_mode="livesum")
SERVES = Gauge(
    "bapsim_release", "1 for each model by its role now", MODEL, registry=OWN, multiprocess_mode="livemax"
)


@cache
def _child(metric: Any, *labels: str) -> Any:
    """A metric with its labels; looking one up costs more than counting."""
    return metric.labels(*labels)


@dataclass
class Metrics:
    """What a service counts."""

    def answered(self, version: str, role: str, rows: int, seconds: float) -> None:
        """Rows that a model answered in one request."""
        _child(ROWS, version, role).inc(rows)
        _child(MODEL_SECONDS, version, role).observe(seconds)

    def erred(self, version: str, role: str) -> None:
        """A request on which a model failed."""
        _child(ERRORS, version, role).inc()

    def heard(self, kind: str) -> None:
        """Feedback that was kept."""
        _child(FEEDBACK, kind).inc()

    def request(self, route: str, status: int, seconds: float) -> None:
        """An HTTP request that was answered."""
        _child(REQUESTS, route, str(status)).inc()
        _child(LATENCY, route).observe(seconds)

    def stands(self, roles: dict[str, str | None], waiting: int, log: Any) -> None:
        """How things stand at this moment; log: the worker's."""
        for labels in list(SERVES._metrics):
            SERVES.labels(*labels).set(0)
        for role, version in roles.items():
            if version is not None:
                SERVES.labels(version, role).set(1)
        WAITING.set(waiting)
        LOG_FAILING.set(log.failing is not None)
        LOG_LOST.set(log.lost)
        LOG_LINES.set(log.written)


def page() -> bytes:
    """All figures in the text format, of all workers."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(OWN)
    from prometheus_client.multiprocess import MultiProcessCollector

    whole = CollectorRegistry()
    MultiProcessCollector(whole)  # type: ignore[no-untyped-call]
    return generate_latest(whole)
