"""Rows, and what the model makes of them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from skrbm._core.types import Array
from skrbm._validation import integer, none
from skrbm.plotting._figures import grid_columns, panels, place, pyplot
from skrbm.plotting._models import (
    check_shape,
    column_names,
    fitted_model,
    rows_for,
    seen,
)
from skrbm.plotting._pictures import (
    GAP,
    add_colorbar,
    corners,
    draw_pictures,
    draw_rows,
    place_pictures,
    size_of_rows,
)


class ReconstructionDisplay:
    """Rows, and the same rows as the model sees them.

    What a reconstruction lacks, the hidden units have not learnt.  With ``shape`` each
    row is a picture; without, all rows are lines of one picture, beside that of their
    reconstructions.

    Use `from_estimator` to create one.  All parameters are stored as attributes.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Rows of visible units.
    reconstructions : ndarray of shape (n_rows, n_features)
        What the model makes of them, P(v=1 | h).
    feature_names : ndarray of shape (n_features,)
        Names of the columns.
    shape : tuple of int, default=None
        Height and width of the pictures.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With ``shape``: the axes that hold all pictures.
    axes_ : ndarray of matplotlib Axes
        Without ``shape``: the rows, and their reconstructions.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    skrbm.BinaryCDRBM.reconstruct : The same as numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.plotting import ReconstructionDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> rbm = BinaryCDRBM(16, n_iter=5, random_state=0).fit(X / 16)
    >>> display = ReconstructionDisplay.from_estimator(rbm, X / 16, shape=(8, 8))
    >>> display.reconstructions.shape
    (10, 64)
    """

    def __init__(
        self,
        *,
        rows: Array,
        reconstructions: Array,
        feature_names: Array,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self.rows = rows
        self.reconstructions = reconstructions
        self.feature_names = feature_names
        self.shape = shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        shape: tuple[int, int] | None = None,
        max_rows: int | None = None,
        n_cols: int | None = None,
        cmap: Any = "Greys",
        ax: Any = None,
    ) -> Self:
        """Draw the first rows of X, and what a fitted model makes of them.

        Parameters
        ----------
        estimator : BinaryCDRBM or Pipeline
            A fitted model, or a pipeline with one; of several, the last step.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, which go through the steps of a pipeline before the model.
        shape : tuple of int, default=None
            Height and width of the pictures that the rows are.  None draws all rows as
            one picture.
        max_rows : int, default=None
            How many rows of X to show at most: None is 10 with ``shape``, 30 without.
        n_cols : int, default=None
            How many pictures stand side by side: None is 10.
        cmap : str or matplotlib Colormap, default="Greys"
            Colours, from 0 to 1.
        ax : matplotlib Axes, default=None
            Where to draw.  None makes a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            What was drawn.

        Raises
        ------
        ImportError, NotFittedError, TypeError, ValueError
            If matplotlib is not installed, there is no model, X does not match it, or
            an argument is not allowed.
        """
        pyplot()
        (none | integer(1))("max_rows", max_rows)
        rbm, X = fitted_model(estimator), rows_for(estimator, X)
        if shape is not None:
            shape = check_shape(shape, rbm.components_.shape[1])
        if max_rows is None:
            max_rows = 30 if shape is None else 10
        X = X[:max_rows]
        display = cls(
            rows=seen(rbm, X),
            reconstructions=rbm.reconstruct(X),
            feature_names=column_names(estimator),
            shape=shape,
        )
        return display.plot(ax=ax, n_cols=n_cols, cmap=cmap)

    def plot(
        self, ax: Any = None, *, n_cols: int | None = None, cmap: Any = "Greys"
    ) -> Self:
        """Draw the rows and their reconstructions.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw.  None makes a new figure.
        n_cols : int, default=None
            How many pictures stand side by side: None is 10.
        cmap : str or matplotlib Colormap, default="Greys"
            Colours, from 0 to 1.

        Returns
        -------
        display : ReconstructionDisplay
            This object.
        """
        options: dict[str, Any] = dict(cmap=cmap, vmin=0, vmax=1)
        if self.shape is None:
            self._draw_rows(ax, options)
        else:
            n_cols = grid_columns(n_cols, len(self.rows), 10)
            self._draw_pictures(ax, self.shape, n_cols, options)
        return self

    def _draw_pictures(
        self, ax: Any, shape: tuple[int, int], n_cols: int, options: dict[str, Any]
    ) -> None:
        # Below each row of pictures there is room for that of their reconstructions.
        height, side = shape[0], max(shape)
        step = height + GAP * side / 2
        above = corners(len(self.rows), shape, n_cols, extra=step + GAP * side / 2)
        at = np.concatenate([above, above + np.array([0, step])])
        self.ax_ = ax = place_pictures(ax, at, shape, beside=1.2)
        both = np.concatenate([self.rows, self.reconstructions])
        draw_pictures(ax, both, shape, at, **options)
        lines = np.unique(above[:, 1]) + height / 2
        labels = ["rows"] * len(lines) + ["reconstructions"] * len(lines)
        ax.set_yticks([*lines, *(lines + step)], labels)
        self.figure_ = ax.figure

    def _draw_rows(self, ax: Any, options: dict[str, Any]) -> None:
        width, height = size_of_rows(len(self.rows), self.feature_names)
        ax = place(ax, 2 * width - 1, height)
        self.axes_, self.figure_ = panels(ax, 2, 2), ax.figure
        both = {"Rows": self.rows, "Reconstructions": self.reconstructions}
        for axes, (title, rows) in zip(self.axes_, both.items(), strict=True):
            image = draw_rows(axes, rows, self.feature_names, **options)
            axes.set_title(title)
        add_colorbar(image, self.axes_, label="P(v = 1)")
