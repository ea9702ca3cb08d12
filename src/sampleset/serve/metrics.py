"""Counters in Prometheus' text format. Labels hold configured names only, never a client's text."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sampleset.serve.draws import Drawn
from sampleset.serve.promises import Promise

_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_HELP = {
    "sampleset_requests_total": "Chat requests by model and HTTP status; 499: the client left.",
    "sampleset_samples_total": "Samples by upstream model and outcome.",
    "sampleset_retries_total": "Upstream calls tried again, by reason.",
    "sampleset_hedges_total": "Draws made a second time because the first was slow.",
    "sampleset_cancelled_total": "Upstream calls cancelled.",
    "sampleset_promises_total": "Answers by model and decision; escalated: by a further step.",
    "sampleset_tokens_total": "Tokens by model, stage and kind.",
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """The server's counters."""

    def __init__(self) -> None:
        self._counters: dict[str, dict[Labels, int]] = {name: defaultdict(int) for name in _HELP}
        self._alarms: dict[str, bool] = {}
        self._seconds: dict[str, tuple[list[int], list[float]]] = {}

    def add(self, name: str, value: int = 1, **labels: str) -> None:
        """Count."""
        self._counters[f"sampleset_{name}_total"][tuple(labels.items())] += value

    def answered(self, model: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self.add("requests", model=model, status=str(status))
        counts, total = self._seconds.setdefault(model, ([0] * (len(_BUCKETS) + 1), [0.0]))
        counts[bisect_left(_BUCKETS, seconds)] += 1
        total[0] += seconds

    def add_draws(self, draws: Drawn) -> None:
        """Count an answer's draws."""
        for draw in draws.draws:
            self.add("samples", model=draw.model, outcome="failed" if draw.sample.failed else "returned")
        for reason, count in draws.retries.items():
            # A reason in the words of a reply would make a new label every time.
            self.add("retries", count, reason=reason if len(reason) < 40 else "other")
        self.add("hedges", draws.hedges)
        self.add("cancelled", draws.cancelled)

    def add_promise(self, model: str, promise: Promise) -> None:
        """Count an answer under a certificate, and take note of the drift alarm."""
        self.add("promises", model=model, decision=promise.decision)
        self._alarms[model] = promise.drifted

    def text(self, active: int, waiting: int) -> str:
        """All of them."""
        lines: list[str] = []
        for name, help_text in _HELP.items():
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} counter"]
            lines += [f"{name}{_labels(labels)} {value}" for labels, value in self._counters[name].items()]
        name = "sampleset_request_seconds"
        lines += [
            f"# HELP {name} Seconds from a request to the end of its reply.",
            f"# TYPE {name} histogram",
        ]
        for model, (counts, total) in self._seconds.items():
            below = 0
            for bound, count in zip((*map(str, _BUCKETS), "+Inf"), counts, strict=True):
                below += count
                lines.append(f"{name}_bucket{_labels((('model', model), ('le', bound)))} {below}")
            label = _labels((("model", model),))
            lines += [f"{name}_sum{label} {total[0]:.6f}", f"{name}_count{label} {below}"]
        if self._alarms:
            lines += gauge(
                "sampleset_drift_alarm",
                "Whether confidences no longer look like those that were certified.",
                [({"model": model}, int(on)) for model, on in self._alarms.items()],
            )
        for name, help_text, value in (
            ("sampleset_requests_active", "Requests in work.", active),
            ("sampleset_requests_waiting", "Requests in the queue.", waiting),
        ):
            lines += gauge(name, help_text, [({}, value)])
        return "\n".join(lines) + "\n"


def gauge(name: str, help_text: str, values: Sequence[tuple[Mapping[str, str], int]]) -> list[str]:
    """The lines of a gauge: its values by their labels."""
    return [
        f"# HELP {name} {help_text}",
        f"# TYPE {name} gauge",
        *(f"{name}{_labels(tuple(labels.items()))} {value}" for labels, value in values),
    ]


def _labels(labels: Labels) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}" if labels else ""
