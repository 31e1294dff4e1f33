"""Rows drawn from the model."""

from __future__ import annotations

from typing import Any, Self

from scipy.special import expit
from sklearn.utils import check_random_state

from skrbm._core.types import Array
from skrbm._validation import one_of
from skrbm.plotting._figures import grid_columns, place, pyplot
from skrbm.plotting._models import check_shape, column_names, fitted_model
from skrbm.plotting._pictures import (
    add_colorbar,
    corners,
    draw_pictures,
    draw_rows,
    place_pictures,
    size_of_rows,
)


class SamplesDisplay:
    """Rows drawn from the model: what it takes for typical.

    They look like the training rows if the model is a good density.  With ``shape``
    each sample is a picture; without, all samples are one picture, a row of it each.

    Use `from_estimator` to create one.  All parameters are stored as attributes.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_features)
        Probabilities or states of visible units.
    feature_names : ndarray of shape (n_features,)
        Names of the columns.
    shape : tuple of int, default=None
        Height and width of the pictures.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What holds everything.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    skrbm.BinaryCDRBM.sample : Draw rows.
    skrbm.metrics.sampling_diagnostics : Say whether samples can be trusted.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.plotting import SamplesDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> rbm = BinaryCDRBM(16, n_iter=5, persistent=True, random_state=0).fit(X / 16)
    >>> display = SamplesDisplay.from_estimator(rbm, shape=(8, 8), n_gibbs_steps=100)
    >>> display.samples.shape
    (32, 64)
    """

    def __init__(
        self,
        *,
        samples: Array,
        feature_names: Array,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self.samples = samples
        self.feature_names = feature_names
        self.shape = shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        shape: tuple[int, int] | None = None,
        n_samples: int = 32,
        n_gibbs_steps: int = 1000,
        kind: str = "probabilities",
        random_state: Any = None,
        n_cols: int | None = None,
        cmap: Any = "Greys",
        ax: Any = None,
    ) -> Self:
        """Draw samples of a fitted model.

        Parameters
        ----------
        estimator : BinaryCDRBM or Pipeline
            A fitted model, or a pipeline with one; of several, the last step.  Samples
            are rows as they come out of the steps before the model.
        shape : tuple of int, default=None
            Height and width of the pictures that the rows are.  None draws all samples
            as one picture.
        n_samples : int, default=32
            How many samples to draw.
        n_gibbs_steps : int, default=1000
            Length of the Markov chains, as in `BinaryCDRBM.sample`.
        kind : {"probabilities", "states"}, default="probabilities"
            Whether to show P(v=1 | h), with hidden states h drawn for each sample, or
            the samples themselves, which are 0 or 1.
        random_state : int, RandomState instance or None, default=None
            Randomness of the samples; None takes that of the estimator.
        n_cols : int, default=None
            How many pictures stand side by side: None is 8.
        cmap : str or matplotlib Colormap, default="Greys"
            Colours, from 0 to 1.
        ax : matplotlib Axes, default=None
            Where to draw.  None makes a new figure.

        Returns
        -------
        display : SamplesDisplay
            What was drawn.

        Raises
        ------
        ImportError, NotFittedError, TypeError, ValueError
            If matplotlib is not installed, there is no model, or an argument is not
            allowed.

        Warns
        -----
        ConvergenceWarning
            As in `BinaryCDRBM.sample`.
        """
        pyplot()
        one_of("probabilities", "states")("kind", kind)
        rbm = fitted_model(estimator)
        if shape is not None:
            shape = check_shape(shape, rbm.components_.shape[1])
        samples = rbm.sample(
            n_samples, n_gibbs_steps=n_gibbs_steps, random_state=random_state
        )
        if kind == "probabilities":
            if random_state is None:
                random_state = rbm.random_state
            H = expit(samples @ rbm.components_.T + rbm.intercept_hidden_)
            states = check_random_state(random_state).random_sample(H.shape) < H
            samples = rbm.inverse_transform(states)
        display = cls(
            samples=samples, feature_names=column_names(estimator), shape=shape
        )
        return display.plot(ax=ax, n_cols=n_cols, cmap=cmap)

    def plot(
        self, ax: Any = None, *, n_cols: int | None = None, cmap: Any = "Greys"
    ) -> Self:
        """Draw the samples.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw.  None makes a new figure.
        n_cols : int, default=None
            How many pictures stand side by side: None is 8.
        cmap : str or matplotlib Colormap, default="Greys"
            Colours, from 0 to 1.

        Returns
        -------
        display : SamplesDisplay
            This object.
        """
        n_samples = len(self.samples)
        options = dict(cmap=cmap, vmin=0, vmax=1)
        if self.shape is None:
            self.ax_ = place(ax, *size_of_rows(n_samples, self.feature_names))
            image = draw_rows(self.ax_, self.samples, self.feature_names, **options)
            self.ax_.set_ylabel("samples")
            add_colorbar(image, self.ax_, label="P(v = 1 | h)")
        else:
            at = corners(n_samples, self.shape, grid_columns(n_cols, n_samples, 8))
            self.ax_ = place_pictures(ax, at, self.shape)
            draw_pictures(self.ax_, self.samples, self.shape, at, **options)
        shown = "" if self.samples.dtype == bool else ", as P(v = 1 | h)"
        self.ax_.set_title(f"{n_samples} samples{shown}")
        self.figure_ = self.ax_.figure
        return self
