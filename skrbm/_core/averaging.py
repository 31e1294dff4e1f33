"""Averages of the parameters along the path of training."""

from __future__ import annotations

import math
from collections import deque

from skrbm._core.operations import move_towards
from skrbm._core.parameters import Parameters

# Rows between two snapshots, at least: with small mini-batches a snapshot after
# every one would cost as much as the update itself.
_ROWS_BETWEEN = 64


class Average:
    """A running average of parameters.

    A float ``weight`` in (0, 1) is the weight of one update in an exponential
    average, corrected for its start (Kingma & Ba 2015, section 3): after t
    updates those of update s count in proportion to (1 - weight)^(t - s).  An
    integer averages all updates of the last so many epochs alike (Polyak &
    Juditsky 1992).

    The parameters are looked at after every update of 64 rows or more, and
    after every few smaller ones.
    """

    def __init__(self, weight: float | int) -> None:
        self.weight = weight
        self.count = 0
        self.mean: Parameters | None = None
        # For a window: count and mean of each of the last epochs.
        self.epochs: deque[tuple[int, Parameters]] = deque(
            maxlen=weight if isinstance(weight, int) else 0
        )

    def add(self, parameters: Parameters, n_updates: int, batch_size: int) -> None:
        """Take in the parameters after update number ``n_updates``."""
        every = math.ceil(_ROWS_BETWEEN / batch_size)
        if n_updates % every:
            return
        if self.mean is None:
            self.mean = parameters.copy()
        self.count += 1
        if isinstance(self.weight, int):
            step = 1 / self.count
        else:
            keep = (1 - self.weight) ** every
            step = (1 - keep) / (1 - keep**self.count)
        for mean, part in zip(self.mean, parameters, strict=True):
            move_towards(mean, part, step)

    def end_epoch(self) -> None:
        """Close the epoch of a window."""
        if isinstance(self.weight, int) and self.mean is not None:
            self.epochs.append((self.count, self.mean))
            self.count, self.mean = 0, None

    def value(self) -> Parameters | None:
        """Return the average, None before the first snapshot."""
        if not isinstance(self.weight, int):
            return self.mean
        if not self.epochs:
            return None
        counts, means = zip(*self.epochs, strict=True)
        shares = [count / sum(counts) for count in counts]
        return Parameters(
            *(
                sum(share * part for share, part in zip(shares, parts, strict=True))
                for parts in zip(*means, strict=True)
            )
        )

    def copy(self) -> Average:
        """Return an average that goes its own way; past epochs are never written to."""
        other = Average(self.weight)
        other.count, other.epochs = self.count, self.epochs.copy()
        other.mean = self.mean and self.mean.copy()
        return other
