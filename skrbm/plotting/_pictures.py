"""Rows as small pictures, and many rows as one."""

from __future__ import annotations

from typing import Any

import numpy as np

from skrbm._core.types import Array
from skrbm.plotting._figures import GREY, place, pyplot

# Inches of the longer side of a picture, at least and at most, and of a title.
SIDE, LARGEST, TITLE = 0.75, 1.5, 4.2

# In parts of the longer side: the gap between pictures, and the room for a name.
GAP, NAME = 0.12, 0.12

# Up to so many columns have their names written below.
MOST_NAMES = 40


def corners(
    n: int, shape: tuple[int, int], n_cols: int, *, extra: float = 0.0
) -> Array:
    """Return x and y of the upper left corners of ``n`` pictures in a grid, in pixels.

    There is a gap between them, and ``extra`` room between one row and the next.
    """
    height, width = shape
    gap = GAP * max(shape)
    row, column = np.divmod(np.arange(n), n_cols)
    return np.column_stack([column * (width + gap), row * (height + gap + extra)])


def place_pictures(
    ax: Any,
    at: Array,
    shape: tuple[int, int],
    *,
    beside: float = 0.0,
) -> Any:
    """Return the axes given, or those of a new figure that pictures just fill.

    ``beside`` are the inches that a colour bar or labels take.
    """
    width, height = at.max(axis=0) + shape[::-1]
    # A few pictures are larger, to fill the width that a title takes.
    side = min(max(SIDE, TITLE * max(shape) / width), LARGEST)
    inches = side / max(shape)
    return place(
        ax,
        max(TITLE, width * inches) + 0.1 + beside,
        height * inches + 0.35,
        layout="compressed",
    )


def size_of_rows(n: int, names: Array) -> tuple[float, float]:
    """Return the width and height of ``n`` rows as one picture, in inches."""
    n_features, below = len(names), 0.3
    if n_features <= MOST_NAMES:
        below = 0.08 * max(len(str(name)) for name in names)
    return min(7.0, 2.0 + 0.15 * n_features), min(6.0, 0.8 + 0.13 * n) + below


def draw_pictures(
    ax: Any,
    rows: Array,
    shape: tuple[int, int],
    at: Array,
    names: Array | None = None,
    **options: Any,
) -> list[Any]:
    """Draw rows as pictures with these corners, each framed, with a name above it."""
    height, width = shape
    images = []
    for i, (row, (x, y)) in enumerate(zip(rows, at, strict=True)):
        box = x, x + width, y + height, y
        images.append(ax.imshow(row.reshape(shape), extent=box, **options))
        frame = pyplot().Rectangle((x, y), width, height, fill=False, ec=GREY, lw=0.4)
        ax.add_patch(frame)
        if names is not None:
            ax.text(x, y, names[i], va="bottom", color=GREY, fontsize="x-small")
    x, y = at.max(axis=0)
    margin = 0.02 * max(shape)
    top = margin if names is None else NAME * max(shape)
    ax.set(
        xlim=(-margin, x + width + margin),
        ylim=(y + height + margin, -top),
        aspect="equal",
    )
    bare(ax)
    return images


def draw_rows(ax: Any, rows: Array, names: Array | None = None, **options: Any) -> Any:
    """Draw rows as the rows of one picture, with the names of columns if they fit."""
    image = ax.imshow(rows, aspect="auto", interpolation="nearest", **options)
    bare(ax)
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color(GREY)
    ax.spines[:].set_linewidth(0.4)
    if names is not None:
        if len(names) <= MOST_NAMES:
            ax.set_xticks(range(len(names)), names, rotation=90, fontsize="small")
        else:
            ax.set_xlabel(f"{len(names)} columns")
    return image


def bare(ax: Any) -> None:
    """Leave nothing of the axes but what is drawn in them."""
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def add_colorbar(image: Any, ax: Any, **options: Any) -> None:
    """Show the scale of colours beside axes."""
    figure = image.axes.figure
    bar = figure.colorbar(image, ax=ax, pad=0.02, shrink=0.8, aspect=25, **options)
    bar.outline.set_visible(False)
