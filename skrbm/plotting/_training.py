"""What training did, epoch by epoch."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from skrbm._core.types import Array
from skrbm.plotting._figures import GREY, grid_columns, n_rows, panels, place, pyplot
from skrbm.plotting._models import fitted_model


class _Panel(NamedTuple):
    """Measures of ``history_`` that share a panel, each with its name there."""

    title: str
    unit: str
    measures: dict[str, str]


PANELS = (
    _Panel(
        "Log-likelihood",
        "nats (higher is better)",
        {"log_likelihood": "log-likelihood"},
    ),
    _Panel(
        "Pseudo-log-likelihood",
        "nats (higher is better)",
        {
            "pseudo_log_likelihood": "training rows",
            "validation_score": "held-out rows",
        },
    ),
    _Panel(
        "Reconstruction error",
        "mean squared",
        {"reconstruction_error": "training rows"},
    ),
    _Panel(
        "Free-energy gap",
        "nats (grows with overfitting)",
        {"free_energy_gap": "held-out less training rows"},
    ),
    _Panel(
        "Hidden units",
        "share",
        {
            "mean_activity": "mean activity",
            "dead_units": "dead units",
            "saturated_units": "saturated units",
        },
    ),
    _Panel("Change of the weights", "relative", {"relative_update": "relative update"}),
    _Panel("Learning rate", "", {"learning_rate": "learning rate"}),
    _Panel("Time", "seconds per epoch", {"seconds": "seconds"}),
)

# Blue, vermilion and green, which the colour-blind can tell apart.
COLOURS = "#0072b2", "#d55e00", "#009e73"


class TrainingDisplay:
    """What training did: the measures of ``history_`` over the epochs of the last fit.

    Use `from_estimator` to create one.  All parameters are stored as attributes.

    Parameters
    ----------
    history : dict of str to ndarray of shape (n_epochs,)
        Measures of each epoch, as in ``BinaryCDRBM.history_``.  Panels whose measures
        are missing or NaN are left out.
    kept_epoch : int, default=None
        Which epoch the model is from, where it is not the last one: a dashed line
        marks it.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    skrbm.BinaryCDRBM : The measures are explained under ``history_``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.plotting import TrainingDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> rbm = BinaryCDRBM(16, n_iter=5, random_state=0).fit(X / 16)
    >>> display = TrainingDisplay.from_estimator(rbm)
    >>> [axes.get_title() for axes in display.axes_][:2]
    ['Pseudo-log-likelihood', 'Reconstruction error']
    """

    def __init__(
        self, *, history: dict[str, Array], kept_epoch: int | None = None
    ) -> None:
        self.history = history
        self.kept_epoch = kept_epoch

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, n_cols: int | None = None, ax: Any = None
    ) -> Self:
        """Draw the history of a fitted model.

        Parameters
        ----------
        estimator : BinaryCDRBM or Pipeline
            A fitted model, or a pipeline with one; of several, the last step.
        n_cols : int, default=None
            How many panels stand side by side: None is 3, or 4 for more than 6 panels.
        ax : matplotlib Axes, default=None
            Where to draw.  None makes a new figure.

        Returns
        -------
        display : TrainingDisplay
            What was drawn.

        Raises
        ------
        ImportError, NotFittedError, TypeError, ValueError
            If matplotlib is not installed, there is no model, it has no history, or an
            argument is not allowed.
        """
        pyplot()
        rbm = fitted_model(estimator)
        if not hasattr(rbm, "history_"):
            raise ValueError(
                "This model has no history_ to plot: `fit` records one, `partial_fit` "
                "and setting the weights by hand do not. Train it by `fit`."
            )
        kept_epoch = getattr(rbm, "kept_epoch_", None)
        display = cls(history=rbm.history_, kept_epoch=kept_epoch)
        return display.plot(ax=ax, n_cols=n_cols)

    def plot(self, ax: Any = None, *, n_cols: int | None = None) -> Self:
        """Draw the history.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw.  None makes a new figure.
        n_cols : int, default=None
            How many panels stand side by side: None is 3, or 4 for more than 6 panels.

        Returns
        -------
        display : TrainingDisplay
            This object.

        Raises
        ------
        ValueError
            If the history has no epoch.
        """
        drawn = [panel for panel in PANELS if self._measured(panel)]
        if not drawn:
            raise ValueError(
                "The history has no epoch to plot. Use n_iter of at least 1."
            )
        n_cols = grid_columns(n_cols, len(drawn), 3 if len(drawn) <= 6 else 4)
        ax = place(ax, 3.0 * n_cols, 2.2 * n_rows(len(drawn), n_cols))
        self.axes_, self.figure_ = panels(ax, len(drawn), n_cols), ax.figure
        for axes, panel in zip(self.axes_, drawn, strict=True):
            self._draw(axes, panel)
            if len(axes.get_legend_handles_labels()[0]) > 1:
                axes.legend(fontsize="x-small", frameon=False)
        for axes in self.axes_[-n_cols:]:
            axes.set_xlabel("epoch", fontsize="small")
        return self

    def _measured(self, panel: _Panel) -> list[str]:
        """Return the measures of a panel that have values."""
        return [
            name
            for name in panel.measures
            if np.isfinite(self.history.get(name, [])).any()
        ]

    def _draw(self, axes: Any, panel: _Panel) -> None:
        measured = self._measured(panel)
        styles = zip(panel.measures, COLOURS, ("-", "--", ":"), strict=False)
        for name, colour, style in styles:
            if name not in measured:
                continue
            values = self.history[name]
            epochs = np.arange(1, len(values) + 1)
            axes.plot(
                epochs,
                values,
                color=colour,
                ls=style,
                marker="." if len(values) <= 30 else None,
                label=panel.measures[name],
            )
            error = self.history.get(f"{name}_error")
            if error is not None:
                axes.fill_between(
                    epochs,
                    values - 2 * error,
                    values + 2 * error,
                    color=colour,
                    alpha=0.2,
                    lw=0,
                    label="± 2 standard errors",
                )
        if self.kept_epoch is not None and self.kept_epoch < len(epochs):
            label = f"epoch {self.kept_epoch} is kept" if axes is self.axes_[0] else ""
            axes.axvline(self.kept_epoch, color=GREY, ls="--", lw=1, label=label)
        if not panel.unit.startswith("nats"):  # what is never negative starts from 0
            (low, high), most = axes.get_ylim(), axes.dataLim.y1
            axes.set_ylim(min(low, -0.05 * most), max(high, 1.05 * most))
        axes.set_title(panel.title, fontsize="medium")
        axes.set_ylabel(panel.unit, fontsize="small")
        axes.tick_params(labelsize="small")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3, lw=0.5)
