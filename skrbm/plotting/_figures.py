"""Figures, and the place of what is drawn in them.

Nothing else in the package imports matplotlib, and this does so when it has to draw.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from skrbm._core.types import Array
from skrbm._validation import integer, none

# The text around pictures, and their frames: readable on white and on black.
GREY = "0.5"


def pyplot() -> Any:
    """Return ``matplotlib.pyplot``, or say how to get it."""
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise ImportError(
            'Plots need matplotlib. Install it with `pip install "skrbm[plots]"` or '
            "`pip install matplotlib`."
        ) from error


def place(ax: Any, width: float, height: float, *, layout: str = "constrained") -> Any:
    """Return the axes given, or those of a new figure of so many inches."""
    if ax is not None:
        return ax
    figure = pyplot().figure(figsize=(width, height), layout=layout)
    return figure.add_subplot()


def panels(ax: Any, n_panels: int, n_cols: int) -> Array:
    """Return axes in rows of ``n_cols``, side by side where ``ax`` is, which hides."""
    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError(
            "ax must be part of a grid of axes, because several are drawn in its "
            "place. Make it by plt.subplots or figure.add_subplot."
        )
    ax.set_axis_off()
    grid = spec.subgridspec(n_rows(n_panels, n_cols), n_cols)
    axes = [ax.figure.add_subplot(grid[i]) for i in range(n_panels)]
    return np.array(axes, dtype=object)


def n_rows(n: int, n_cols: int) -> int:
    """Return in how many rows of ``n_cols`` so many things stand."""
    return -(-n // n_cols)


def grid_columns(n_cols: int | None, n: int, default: int) -> int:
    """Return the number of columns of a grid of ``n`` things, if it is allowed."""
    (none | integer(1))("n_cols", n_cols)
    return min(n, default if n_cols is None else int(n_cols))
