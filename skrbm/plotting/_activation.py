"""How often hidden units are on."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from skrbm._core.monitoring import RARE
from skrbm._core.types import Array
from skrbm._validation import integer, one_of
from skrbm.plotting._figures import place, pyplot
from skrbm.plotting._models import fitted_model, rows_for
from skrbm.plotting._pictures import add_colorbar, draw_rows

# How many units have their numbers written beside them, at most.
MOST_NUMBERS = 20


class ActivationDisplay:
    """Which hidden units are on for which rows: a picture with a line for each unit.

    Useful units are on for some rows and off for others.  A line that is light
    throughout is a dead unit, one that is dark throughout a saturated unit: neither
    tells rows apart.  Many lines that look the same are units that learnt the same.

    Use `from_estimator` to create one.  All parameters are stored as attributes.

    Parameters
    ----------
    activations : ndarray of shape (n_rows, n_components)
        Hidden activations, P(h=1 | v), of the rows to show.
    mean_activations : ndarray of shape (n_components,)
        Their means over all rows.  A unit is dead below 0.001 and saturated above
        0.999.
    n_rows : int, default=None
        Number of rows that the means are of; None is that of the rows to show.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What holds everything.
    figure_ : matplotlib Figure
        The figure.
    units_ : ndarray of shape (n_components,)
        Indices of the units, from the top of the picture to its bottom.

    See Also
    --------
    FiltersDisplay : What switches each unit on.
    skrbm.BinaryCDRBM.transform : Hidden activations as numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.plotting import ActivationDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> rbm = BinaryCDRBM(16, n_iter=5, random_state=0).fit(X / 16)
    >>> display = ActivationDisplay.from_estimator(rbm, X / 16)
    >>> display.activations.shape
    (500, 16)
    """

    def __init__(
        self,
        *,
        activations: Array,
        mean_activations: Array,
        n_rows: int | None = None,
    ) -> None:
        self.activations = activations
        self.mean_activations = mean_activations
        self.n_rows = n_rows

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        max_rows: int = 500,
        order: str = "activity",
        cmap: Any = "Greys",
        ax: Any = None,
    ) -> Self:
        """Draw the hidden activations of rows.

        Parameters
        ----------
        estimator : BinaryCDRBM or Pipeline
            A fitted model, or a pipeline with one; of several, the last step.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, which go through the steps of a pipeline before the model.  Sort them,
            for instance by class, and units that know the classes show.
        max_rows : int, default=500
            How many rows to show at most: evenly spaced ones, where X has more.  All
            are counted in the means.
        order : {"activity", "index"}, default="activity"
            Whether the units that are on most often are at the top, or the units stand
            in the order of the model.
        cmap : str or matplotlib Colormap, default="Greys"
            Colours, from 0 to 1.
        ax : matplotlib Axes, default=None
            Where to draw.  None makes a new figure.

        Returns
        -------
        display : ActivationDisplay
            What was drawn.

        Raises
        ------
        ImportError, NotFittedError, TypeError, ValueError
            If matplotlib is not installed, there is no model, X does not match it, or
            an argument is not allowed.
        """
        pyplot()
        integer(1)("max_rows", max_rows)
        rbm = fitted_model(estimator)
        H = np.asarray(rbm.transform(rows_for(estimator, X)))
        some = np.linspace(0, len(H) - 1, min(len(H), max_rows)).astype(int)
        display = cls(
            activations=H[some],
            mean_activations=H.mean(axis=0, dtype=float),
            n_rows=len(H),
        )
        return display.plot(ax=ax, order=order, cmap=cmap)

    def plot(
        self, ax: Any = None, *, order: str = "activity", cmap: Any = "Greys"
    ) -> Self:
        """Draw the activations.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw.  None makes a new figure.
        order : {"activity", "index"}, default="activity"
            Whether the units that are on most often are at the top, or the units stand
            in the order of the model.
        cmap : str or matplotlib Colormap, default="Greys"
            Colours, from 0 to 1.

        Returns
        -------
        display : ActivationDisplay
            This object.
        """
        one_of("activity", "index")("order", order)
        mean = self.mean_activations
        n_rows, n_units = self.activations.shape
        self.units_ = np.arange(n_units)
        if order == "activity":
            self.units_ = np.argsort(-mean, kind="stable")
        self.ax_ = ax = place(ax, 7.0, 2.0 + min(3.0, 0.05 * n_units))
        image = draw_rows(
            ax, self.activations[:, self.units_].T, cmap=cmap, vmin=0, vmax=1
        )
        dead, saturated = mean < RARE, mean > 1 - RARE
        self._mark("dead", dead, "#d55e00")
        self._mark("saturated", saturated, "#0072b2")
        ax.set_title(
            f"{n_units} hidden units: {dead.sum()} dead, {saturated.sum()} saturated"
        )
        of = "" if self.n_rows in {None, n_rows} else f" of {self.n_rows}"
        ax.set_xlabel(f"{n_rows}{of} rows")
        ax.set_ylabel("hidden units")
        numbered = np.arange(0, n_units, -(-n_units // MOST_NUMBERS))
        ax.set_yticks(numbered, self.units_[numbered], fontsize="x-small")
        ax.tick_params(axis="y", pad=7)  # room for the marks of `_mark`
        add_colorbar(image, ax, label="P(h = 1 | v)")
        self.figure_ = ax.figure
        return self

    def _mark(self, name: str, marked: Array, colour: str) -> None:
        """Point at the units that are marked, and say in a legend what they are."""
        lines = np.flatnonzero(marked[self.units_])
        if not len(lines):
            return
        self.ax_.plot(
            np.full(len(lines), -0.01),
            lines,
            ">",
            color=colour,
            markersize=4,
            clip_on=False,
            label=name,
            transform=self.ax_.get_yaxis_transform(),
        )
        self.ax_.legend(
            loc="upper left",
            bbox_to_anchor=(-0.03, 0),
            ncols=2,
            fontsize="small",
            frameon=False,
            handletextpad=0,
        )
