"""How much of a long computation is done."""

from __future__ import annotations

import itertools
from collections.abc import Callable


class Progress:
    """Counts steps, in any thread, and shows the share that is done; or nothing."""

    def __init__(self, show: Callable[[float], None] | None = None) -> None:
        self._show = show
        self.begin(1)

    def begin(self, n_steps: int) -> None:
        """Count so many steps from 0."""
        self._n_steps, self._count = n_steps, itertools.count(1)

    def step(self) -> None:
        """Take note that a step is done."""
        if self._show is not None:
            self._show(next(self._count) / self._n_steps)
