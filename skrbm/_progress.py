"""What `verbose` prints."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from skrbm._core.training import Settings
from skrbm._fitting import Outcome

# Seconds between two reports on a long computation.
BETWEEN = 2.0


def say(message: str, name: str = "BinaryCDRBM") -> None:
    """Print a line, at once also where the output is a file."""
    print(f"[{name}] {message}", flush=True)  # noqa: T201  (asked for)


def be_silent(message: str, name: str = "") -> None:
    """Print nothing."""


def duration(seconds: float) -> str:
    """Return seconds in words that can be taken in at a glance."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    )


def parameters(values: Mapping[str, Any]) -> str:
    """Return hyper-parameters as one would write them."""
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value!r}"
        for name, value in values.items()
    )


def epoch(outcome: Outcome, settings: Settings, elapsed: float) -> str:
    """Return the line of the last epoch, with what is known of it in nats."""
    n, n_iter, record = outcome.n_iter, settings.n_iter, outcome.records[-1]
    scores = {
        "pseudo-log-likelihood": record["pseudo_log_likelihood"],
        "held out": record["validation_score"],
        "log-likelihood": record["log_likelihood"],
    }
    known = [
        f"{name} {value:.2f}" for name, value in scores.items() if not math.isnan(value)
    ]
    left = duration(elapsed / n * (n_iter - n))
    return f"epoch {n} of {n_iter}: {', '.join(known)}, {left} left"


class Report:
    """Says now and then how much of a long computation is done."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.began = self.last = math.inf  # until the first step is done

    def __call__(self, share: float) -> None:
        """Take note that this share, from 0 to 1, is done."""
        now = time.perf_counter()
        self.began, self.last = min(self.began, now), min(self.last, now)
        if now - self.last < BETWEEN:
            return
        self.last = now
        left = duration((now - self.began) * (1 - share) / share)
        say(f"{100 * share:.0f} % done, {left} left", self.name)
