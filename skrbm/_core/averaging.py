"""Averages of the parameters along the path of training."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from skrbm._core.parameters import Parameters

# Rows between two looks at all of W, at least: with small mini-batches a look after
# every one would cost as much as the update itself.
ROWS_BETWEEN = 512


class Average:
    """A running average of parameters.

    A float ``weight`` in (0, 1) is the weight of one update in an exponential
    average, corrected for its start (Kingma & Ba 2015, section 3): after t
    updates those of update s count in proportion to (1 - weight)^(t - s).  An
    integer averages all updates of the last so many epochs alike (Polyak &
    Juditsky 1992).

    The parameters are looked at after every update of 512 rows or more, after
    every few smaller ones, and at the end of an epoch that would go by unseen.
    """

    def __init__(self, weight: float | int) -> None:
        self.weight = weight
        # In the form that training has them in; between epochs `Parameters`.
        self.mean: Any = None
        self.total = 0.0  # weight of all that is in the mean
        self.pending = 0  # updates since the mean last took the parameters in
        # For a window: weight and mean of each of the last epochs.
        self.epochs: list[tuple[float, Parameters]] = []
        self.seen = False  # in the present epoch

    def add(self, parameters: Any, batch_size: int) -> None:
        """Take in the parameters after an update, or let it pass."""
        self.pending += 1
        if self.pending * batch_size >= ROWS_BETWEEN:
            self._take(parameters)

    def end_epoch(self, parameters: Parameters) -> None:
        """Close the epoch, which ended with these parameters."""
        if not self.seen:
            self._take(parameters)
        if isinstance(self.weight, int) and self.mean is not None:
            self.epochs = [*self.epochs, (self.total, self.mean)][-self.weight :]
            self.total, self.mean = 0.0, None
        self.seen = False

    def _take(self, parameters: Any) -> None:
        if self.mean is None:
            self.mean = copy.deepcopy(parameters)
        if isinstance(self.weight, int):
            keep, new = 1.0, 1.0
        else:
            keep = (1 - self.weight) ** self.pending
            new = -math.expm1(self.pending * math.log1p(-self.weight))  # 1 - keep
        self.total = keep * self.total + new
        for mean, part in zip(self.mean.arrays, parameters.arrays, strict=True):
            mean *= 1 - new / self.total
            mean += (new / self.total) * part
        self.pending, self.seen = 0, True

    def value(self) -> Parameters | None:
        """Return the average, if there is one yet; that of a window ends an epoch."""
        if not isinstance(self.weight, int):
            return self.mean
        if not self.epochs:
            return None
        totals, means = zip(*self.epochs, strict=True)
        shares = [total / sum(totals) for total in totals]
        return Parameters(
            *(
                sum(share * part for share, part in zip(shares, parts, strict=True))
                for parts in zip(*means, strict=True)
            )
        )

    def converted(self, form: Callable[[Any], Any]) -> Average:
        """Return an average that goes its own way, its mean in another form."""
        other = copy.copy(self)  # means of past epochs are never written to
        other.mean = None if self.mean is None else form(self.mean)
        return other

    def to_dict(self) -> dict[str, Any]:
        """Return it as arrays, numbers and tuples of them."""
        epochs = [(total, tuple(mean)) for total, mean in self.epochs]
        mean = None if self.mean is None else tuple(self.mean)
        return vars(self) | {"mean": mean, "epochs": epochs}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Average:
        """Return the average that `to_dict` was called of."""
        average = cls(values["weight"])
        vars(average).update(values)
        if values["mean"] is not None:
            average.mean = Parameters(*values["mean"])
        average.epochs = [(total, Parameters(*m)) for total, m in values["epochs"]]
        return average
