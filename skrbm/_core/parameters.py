"""Weights and intercepts of a model as one value."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skrbm._core.types import Array, DType


class Parameters(NamedTuple):
    """The parameters of ``E(v, h) = -v'Wh - b'v - c'h``.

    ``W`` is (n_features, n_components) in C order, ``b`` (n_features,) the
    visible and ``c`` (n_components,) the hidden intercepts.
    """

    W: Array
    b: Array
    c: Array

    def copy(self) -> Parameters:
        """Return the same values in arrays of their own."""
        return Parameters(*(np.array(part, order="C") for part in self))

    def astype(self, dtype: DType) -> Parameters:
        """Return the values in C order as ``dtype``; no copy where none is needed."""
        return Parameters(*(np.ascontiguousarray(part, dtype) for part in self))

    def is_finite(self) -> bool:
        """Say whether every parameter is a finite number."""
        return all(bool(np.isfinite(part).all()) for part in self)


class Stacked(NamedTuple):
    """Parameters as epochs of dense rows see them: hidden intercepts below the weights.

    With c the hidden intercept at v = mu, for which P(h=1 | v) = sigmoid(c + (v-mu)'W),
    and with the sign flipped and a further column, S = [mu - v, -1],

        joint = [W; c']        -(c + (v-mu)'W) = S joint        joint += S'G

    in C order.
    """

    joint: Array
    b: Array

    @classmethod
    def take(cls, parameters: Parameters, mu: Array) -> Stacked:
        """Return parameters, or a change of some, in this form."""
        W, b, c = parameters
        return cls(np.vstack([W, c + mu @ W]), b.copy())

    def restore(self, mu: Array) -> Parameters:
        """Return the parameters in the form with W, b and c at v = 0."""
        W = self.weights.copy()
        return Parameters(W, self.b.copy(), self.c - mu @ W)

    @property
    def weights(self) -> Array:
        """W."""
        return self.joint[:-1]

    @property
    def c(self) -> Array:
        """The hidden intercepts at mu."""
        return self.joint[-1]

    def shrink(self, factor: float) -> None:
        """Multiply W by a factor."""
        np.multiply(self.weights, factor, out=self.weights)

    def copy(self) -> Stacked:
        """Return the same values in arrays of their own."""
        return Stacked(self.joint.copy(), self.b.copy())


class Apart(NamedTuple):
    """Parameters as epochs of sparse rows see them: their changes along mu kept apart.

    W = M + mu a' and b = d + mu beta, for M, d, a and beta in one matrix,

        joint = [M, d, mu; a', beta, 0; mu'M, mu'd, 0],

    in C order, and c is the hidden intercept at v = mu.  For sparse rows v and
    S = mu - v, what takes S touches no more of M than the features that are on,

        -SW = [v, v mu - mu mu, -1] [M; a'; mu'M]
        W += S'G, b += S'r    by    joint -= [v, -1, v mu]' [G, r]

    and what does not is as it was: hW' + b = [h, 1, h a + beta] [M, d, mu]'.
    """

    joint: Array
    c: Array

    @classmethod
    def take(cls, parameters: Parameters, mu: Array) -> Apart:
        """Return parameters, or a change of some, in this form."""
        (W, b, c), (n_features, n_components) = parameters, parameters.W.shape
        joint = np.zeros((n_features + 2, n_components + 2), W.dtype)
        joint[:-2, :-2], joint[:-2, -2], joint[:-2, -1] = W, b, mu
        joint[-1, :-1] = mu @ joint[:-2, :-1]
        return cls(joint, c + joint[-1, :-2])

    def restore(self, mu: Array) -> Parameters:
        """Return the parameters in the form with W, b and c at v = 0."""
        W = np.outer(mu, self.a)
        W += self.joint[:-2, :-2]
        return Parameters(W, mu * self.beta + self.joint[:-2, -2], self.c - mu @ W)

    @property
    def M_d_mu(self) -> Array:
        """The columns [M, d, mu], in C order."""
        return self.joint[:-2]

    @property
    def a(self) -> Array:
        """What W lacks along mu."""
        return self.joint[-2, :-2]

    @property
    def beta(self) -> Array:
        """What b lacks along mu."""
        return self.joint[-2, -2]

    @property
    def mu_M(self) -> Array:
        """The product mu'M."""
        return self.joint[-1, :-2]

    def shrink(self, factor: float) -> None:
        """Multiply W by a factor."""
        # All columns at once take half the time of all but two.
        d_mu = self.joint[:, -2:].copy()
        np.multiply(self.joint, factor, out=self.joint)
        self.joint[:, -2:] = d_mu

    def copy(self) -> Apart:
        """Return the same values in arrays of their own."""
        return Apart(self.joint.copy(), self.c.copy())


Form = Parameters | Stacked | Apart


def zeros_like(parameters: Parameters) -> Parameters:
    """Return parameters of the same shapes, all zero."""
    return Parameters(*(np.zeros_like(part) for part in parameters))


def initial_parameters(
    visible_mean: Array,
    n_rows: int,
    n_components: int,
    rng: np.random.Generator,
    *,
    weight_scale: float,
    visible_intercept: float | str,
    hidden_intercept: float,
    dtype: DType = np.float32,
) -> Parameters:
    """Draw the parameters that training starts from (Hinton 2010, section 8).

    Weights are normal with standard deviation ``weight_scale``.  With
    ``visible_intercept="logit"`` a unit that is on in a share m of the
    ``n_rows`` rows starts at log(m / (1 - m)), with one row on and one row off
    added so that a constant column stays finite.
    """
    n_features = len(visible_mean)
    W = rng.standard_normal((n_features, n_components)) * weight_scale
    if visible_intercept == "logit":
        m = (n_rows * visible_mean + 1) / (n_rows + 2)
        b = np.log(m) - np.log1p(-m)
    else:
        b = np.full(n_features, visible_intercept)
    c = np.full(n_components, hidden_intercept)
    return Parameters(W, b, c).astype(dtype)
