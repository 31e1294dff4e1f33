"""The weights of hidden units."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from skrbm import BinaryCDRBM
from skrbm._core.types import Array
from skrbm._validation import boolean, integer, none, one_of
from skrbm.plotting._figures import GREY, grid_columns, n_rows, panels, place, pyplot
from skrbm.plotting._models import check_shape, column_names, fitted_model
from skrbm.plotting._pictures import (
    NAME,
    add_colorbar,
    corners,
    draw_pictures,
    place_pictures,
)


class FiltersDisplay:
    """Weights of hidden units: what switches each unit on.

    With ``shape``, each unit is a picture of its weights: red pixels switch the unit
    on, blue pixels switch it off.  Without, each unit is a bar chart of the columns
    with the largest weights.

    Use `from_estimator` to create one.  All parameters are stored as attributes.

    Parameters
    ----------
    weights : ndarray of shape (n_units, n_features)
        Weights of the units to show.
    units : ndarray of shape (n_units,)
        Their indices among the hidden units of the model.
    n_components : int
        Number of hidden units of the model.
    feature_names : ndarray of shape (n_features,)
        Names of the columns.
    shape : tuple of int, default=None
        Height and width of the pictures.
    standardized : bool, default=False
        Whether the weights were multiplied by the standard deviations of the columns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With ``shape``: the axes that hold all pictures.
    axes_ : ndarray of matplotlib Axes
        Without ``shape``: the bar charts, one for each unit.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    ActivationDisplay : How often each unit is on.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.plotting import FiltersDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> rbm = BinaryCDRBM(16, n_iter=5, random_state=0).fit(X / 16)
    >>> display = FiltersDisplay.from_estimator(rbm, shape=(8, 8))
    >>> display.weights.shape
    (16, 64)
    """

    def __init__(
        self,
        *,
        weights: Array,
        units: Array,
        n_components: int,
        feature_names: Array,
        shape: tuple[int, int] | None = None,
        standardized: bool = False,
    ) -> None:
        self.weights = weights
        self.units = units
        self.n_components = n_components
        self.feature_names = feature_names
        self.shape = shape
        self.standardized = standardized

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        shape: tuple[int, int] | None = None,
        n_units: int | None = None,
        order: Any = "effect",
        standardize: bool = True,
        scale: str = "shared",
        n_bars: int = 6,
        n_cols: int | None = None,
        cmap: Any = "RdBu_r",
        colorbar: bool = True,
        ax: Any = None,
    ) -> Self:
        """Draw the weights of a fitted model.

        Parameters
        ----------
        estimator : BinaryCDRBM or Pipeline
            A fitted model, or a pipeline with one; of several, the last step.
        shape : tuple of int, default=None
            Height and width of the pictures that the rows are.  None draws bars.
        n_units : int, default=None
            How many units to show: None is 64 pictures or 12 bar charts at most.
        order : {"effect", "index"} or array-like of int, default="effect"
            Which units to show first: those with the largest weights on columns that
            vary, those with the lowest index, or the indices given, for instance
            ``np.argsort(-abs(classifier.coef_[0]))``.
        standardize : bool, default=True
            Whether to multiply each weight by the standard deviation of its column,
            ``sqrt(m * (1 - m))`` with the column's mean m.  A column that is nearly
            always off can have a large weight that hardly ever counts.  Where weights
            were set by hand the means are not known, and weights stay as they are.
        scale : {"shared", "unit"}, default="shared"
            Whether all units share one scale of colours or bars, so that units can be
            compared, or each has its own, so that weak units show.
        n_bars : int, default=6
            How many columns to show for each unit, without ``shape``.
        n_cols : int, default=None
            How many pictures or bar charts stand side by side: None is 8 or 3.
        cmap : str or matplotlib Colormap, default="RdBu_r"
            Colours, from negative to positive weights.
        colorbar : bool, default=True
            Whether to show the scale of the colours, where it is shared.
        ax : matplotlib Axes, default=None
            Where to draw.  None makes a new figure.

        Returns
        -------
        display : FiltersDisplay
            What was drawn.

        Raises
        ------
        ImportError, NotFittedError, TypeError, ValueError
            If matplotlib is not installed, there is no model, or an argument is not
            allowed.
        """
        pyplot()
        rbm = fitted_model(estimator)
        weights = np.asarray(rbm.components_)
        n_components, n_features = weights.shape
        if shape is not None:
            shape = check_shape(shape, n_features)
        (none | integer(1))("n_units", n_units)
        boolean("standardize", standardize)
        if n_units is None:
            n_units = 12 if shape is None else 64
        spread = _standard_deviations(rbm)
        units = _ordered(order, weights * spread)[:n_units]
        standardize = standardize and hasattr(rbm, "visible_mean_")
        display = cls(
            weights=weights[units] * (spread if standardize else 1),
            units=units,
            n_components=n_components,
            feature_names=column_names(estimator),
            shape=shape,
            standardized=standardize,
        )
        return display.plot(
            ax=ax,
            scale=scale,
            n_bars=n_bars,
            n_cols=n_cols,
            cmap=cmap,
            colorbar=colorbar,
        )

    def plot(
        self,
        ax: Any = None,
        *,
        scale: str = "shared",
        n_bars: int = 6,
        n_cols: int | None = None,
        cmap: Any = "RdBu_r",
        colorbar: bool = True,
    ) -> Self:
        """Draw the weights.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw.  None makes a new figure.
        scale : {"shared", "unit"}, default="shared"
            Whether all units share one scale, or each has its own.
        n_bars : int, default=6
            How many columns to show for each unit, without ``shape``.
        n_cols : int, default=None
            How many pictures or bar charts stand side by side: None is 8 or 3.
        cmap : str or matplotlib Colormap, default="RdBu_r"
            Colours, from negative to positive weights.
        colorbar : bool, default=True
            Whether to show the scale of the colours, where it is shared.

        Returns
        -------
        display : FiltersDisplay
            This object.
        """
        one_of("shared", "unit")("scale", scale)
        integer(1)("n_bars", n_bars)
        boolean("colorbar", colorbar)
        shared = scale == "shared"
        if self.shape is None:
            self._draw_bars(ax, n_bars, n_cols, cmap, shared=shared)
        else:
            self._draw_pictures(
                ax, self.shape, n_cols, cmap, shared=shared, colorbar=colorbar
            )
        return self

    def _draw_pictures(
        self,
        ax: Any,
        shape: tuple[int, int],
        n_cols: int | None,
        cmap: Any,
        *,
        shared: bool,
        colorbar: bool,
    ) -> None:
        n_units, colorbar = len(self.weights), colorbar and shared
        n_cols = grid_columns(n_cols, n_units, 8)
        at = corners(n_units, shape, n_cols, extra=NAME * max(shape))
        self.ax_ = ax = place_pictures(ax, at, shape, beside=0.7 * colorbar)
        images = draw_pictures(ax, self.weights, shape, at, self.units, cmap=cmap)
        # A few weights far beyond the others would leave these pale.
        limits = self._limits(0.99 if shared else 1.0, shared=shared)
        for image, limit in zip(images, limits, strict=True):
            image.set_clim(-limit, limit)
        if colorbar:
            add_colorbar(images[0], ax, extend="both")
        of = "" if n_units == self.n_components else f" of {self.n_components}"
        ax.set_title(f"{self._quantity()} of {n_units}{of} hidden units")
        self.figure_ = ax.figure

    def _draw_bars(
        self, ax: Any, n_bars: int, n_cols: int | None, cmap: Any, *, shared: bool
    ) -> None:
        n_units, n_features = self.weights.shape
        n_bars, n_cols = min(n_bars, n_features), grid_columns(n_cols, n_units, 3)
        longest = max(len(str(name)) for name in self.feature_names)
        width, height = 1.6 + 0.07 * longest, 0.6 + 0.2 * n_bars
        ax = place(ax, n_cols * width, n_rows(n_units, n_cols) * height)
        self.axes_, self.figure_ = panels(ax, n_units, n_cols), ax.figure
        negative, positive = pyplot().get_cmap(cmap)([0.12, 0.88])
        limits = self._limits(1.0, shared=shared)
        for axes, unit, w, limit in zip(
            self.axes_, self.units, self.weights, limits, strict=True
        ):
            strongest = np.argsort(-np.abs(w), kind="stable")[:n_bars]
            colours = [positive if x > 0 else negative for x in w[strongest]]
            axes.barh(range(n_bars), w[strongest], color=colours)
            axes.axvline(0, color=GREY, lw=0.8)
            axes.set_yticks(range(n_bars), self.feature_names[strongest])
            axes.set(xlim=(-1.05 * limit, 1.05 * limit), ylim=(n_bars - 0.4, -0.6))
            axes.set_title(f"Unit {unit}", fontsize="medium")
            axes.tick_params(labelsize="small")
            axes.tick_params(axis="y", length=0)
            axes.spines[["top", "right", "left"]].set_visible(False)
        for axes in self.axes_[-n_cols:]:
            axes.set_xlabel(self._quantity().lower(), fontsize="small")

    def _limits(self, quantile: float, *, shared: bool) -> Array:
        """Return up to which size weights of each unit are told apart."""
        sizes = np.abs(self.weights)
        limits = np.quantile(sizes, quantile, axis=None if shared else 1)
        limits = np.broadcast_to(limits, len(sizes))
        return np.where(limits > 0, limits, 1.0)

    def _quantity(self) -> str:
        return "Standardised weights" if self.standardized else "Weights"


def _standard_deviations(rbm: BinaryCDRBM) -> Array:
    """Return those of binary columns with the means of the training rows, if known."""
    mean = getattr(rbm, "visible_mean_", np.full(rbm.components_.shape[1], 0.5))
    mean = np.clip(mean, 0, 1)
    return np.sqrt(mean * (1 - mean))


def _ordered(order: Any, effects: Array) -> Array:
    """Return indices of hidden units, those to show first."""
    if not isinstance(order, str):
        units = np.asarray(order)
        n_components = len(effects)
        if units.ndim != 1 or units.dtype.kind not in "iu" or not units.size:
            raise TypeError(
                f"order must be 'effect', 'index' or a list of integers, got {order!r}."
            )
        if units.min() < 0 or units.max() >= n_components:
            raise ValueError(
                f"order holds units from {units.min()} to {units.max()}, but the model "
                f"has units from 0 to {n_components - 1}."
            )
        return units
    one_of("effect", "index")("order", order)
    if order == "index":
        return np.arange(len(effects))
    return np.argsort(-np.linalg.norm(effects, axis=1), kind="stable")
