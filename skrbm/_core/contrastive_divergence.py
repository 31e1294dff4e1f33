"""One mini-batch of contrastive divergence: its two phases and its gradient.

    positive phase   v0 the data            h0 ~ P(h | v0)
    negative phase   k times  v ~ P(v | h), h ~ P(h | v), starting from h0 or,
                     with persistent chains, from where the last batch left off

The gradient of the log-likelihood is the mean of v h' over the n positive rows
less its mean over the m negative rows.  With one weight per row,
w = [1/n, ..., -1/m, ...], and offsets mu and lambda it reads

    S = [v0; vk] - mu        G = w * ([h0; hk] - lambda)
    dW = S'G       db = S'(w - G lambda)       dc = G'(1 - S mu)

which for mu = lambda = 0 is the ordinary gradient, and otherwise the centred
gradient in ordinary coordinates: the one that training ``-(v-mu)'W(h-lambda) -
b'v - c'h`` follows, without a change of variables before and after it
(Montavon & Mueller 2012; Melchior, Fischer & Wiskott 2016, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from skrbm._core.blocks import converted
from skrbm._core.operations import add_outer, add_product, affine, product, sigmoid
from skrbm._core.parameters import Parameters
from skrbm._core.sampling import bernoulli, bernoulli_rows
from skrbm._core.threads import Crew, cut
from skrbm._core.types import Array, Rows

MAX_SLABS = 16


class _Slab:
    """A range of visible units: its parameters, and its values in both phases."""

    def __init__(self, features: slice, model: Parameters, n: int, m: int) -> None:
        self.features = features
        self.W, self.b = model.W[features], model.b[features]
        dtype, n_features = model.W.dtype, len(self.b)
        # V stacks v0 (n, n_features) and vk (m, n_features).
        self.V = np.empty((n + m, n_features), dtype)
        self.v0: Rows = self.V[:n]
        self.vk: Rows = self.V[n:]
        self.p = self.V[n:]  # P(v=1 | h), until vk is drawn in its place
        self.VW = np.empty((n + m, model.W.shape[1]), dtype)


class MiniBatch:
    """Both layers in both phases of a mini-batch, and the model they belong to.

    ``n`` is the number of positive rows.  ``chains`` (m, n_components) holds the
    hidden states of persistent chains, which every negative phase moves on;
    without it there are as many negative rows as positive ones.  The model and
    the chains are held by reference.

    The visible units are cut in slabs and the rows of the hidden layer in as
    many parts, by the shape of the data alone, and each index has random numbers
    of its own: the number of threads never shows in the result.
    """

    def __init__(
        self,
        model: Parameters,
        n: int,
        chains: Array | None = None,
        *,
        n_gibbs_steps: int = 1,
        sample_statistics: bool = False,
        binarize: float | None = None,
    ) -> None:
        n_features, n_components = model.W.shape
        m = n if chains is None else len(chains)
        self.model, self.n = model, n
        self.persistent = chains is not None
        self.n_gibbs_steps = n_gibbs_steps
        self.sample_statistics = sample_statistics
        self.binarize = binarize
        n_slabs = count_slabs(n + m, n_features, n_components)
        self.slabs = [_Slab(s, model, n, m) for s in cut(n_features, n_slabs)]
        # H stacks h0 (n, n_components) and hk (m, n_components).
        self.H = self.slabs[0].VW
        self.h = np.empty((m, n_components), model.W.dtype) if chains is None else chains
        self.w = np.repeat(np.array([1 / n, -1 / m], model.W.dtype), [n, m])
        self.parts = list(zip(cut(n, n_slabs), cut(m, n_slabs), strict=True))

    def run_phases(
        self, batch: Rows, streams: Sequence[np.random.Generator], crew: Crew
    ) -> None:
        """Fill the visible and the hidden layers of both phases from ``batch``.

        The hidden layers hold probabilities unless statistics are to be sampled.
        """
        everyone = range(len(self.slabs))
        crew.map(lambda i: self._load(self.slabs[i], batch), everyone)
        crew.map(lambda i: self._infer_positive(i, streams[i]), everyone)
        for step in range(self.n_gibbs_steps):
            last = step == self.n_gibbs_steps - 1
            crew.map(lambda i: self._sample_visible(self.slabs[i], streams[i]), everyone)
            crew.map(lambda i: self._infer_negative(i, streams[i], last), everyone)

    def _load(self, slab: _Slab, batch: Rows) -> None:
        """Take v0 from the rows, in the type of the model, and its v0 W."""
        if sparse.issparse(batch):
            slab.v0 = converted(batch, slab.W.dtype, self.binarize)
        elif self.binarize is None:
            slab.v0[...] = batch[:, slab.features]
        else:
            slab.v0[...] = batch[:, slab.features] > self.binarize
        product(slab.v0, slab.W, out=slab.VW[: self.n])

    def _sample_visible(self, slab: _Slab, rng: np.random.Generator) -> None:
        """Draw v ~ P(v | h) = sigmoid(b + Wh), and take its v W."""
        p = affine(self.h, slab.W.T, slab.b, out=slab.p)
        sigmoid(p, out=p)
        if sparse.issparse(slab.v0):
            slab.vk = bernoulli_rows(p, rng)
        else:
            bernoulli(p, rng, out=p)
        product(slab.vk, slab.W, out=slab.VW[self.n :])

    def _infer(self, rows: slice) -> Array:
        """Return P(h | v) = sigmoid(c + v'W) from the slabs' shares of v'W."""
        p = self.H[rows]
        for slab in self.slabs[1:]:
            p += slab.VW[rows]
        p += self.model.c
        return sigmoid(p, out=p)

    def _infer_positive(self, i: int, rng: np.random.Generator) -> None:
        rows, chains = self.parts[i]
        p = self._infer(rows)
        if self.sample_statistics:
            bernoulli(p, rng, out=p)
            if not self.persistent:
                self.h[chains] = p
        elif not self.persistent:
            bernoulli(p, rng, out=self.h[chains])

    def _infer_negative(self, i: int, rng: np.random.Generator, last: bool) -> None:
        chains = self.parts[i][1]
        p = self._infer(slice(self.n + chains.start, self.n + chains.stop))
        if self.persistent or self.sample_statistics or not last:
            bernoulli(p, rng, out=self.h[chains])
        if self.sample_statistics:
            p[...] = self.h[chains]

    def mean_activity(self) -> Array:
        """Return the mean of h0."""
        return self.w[: self.n] @ self.H[: self.n]

    def add_gradient(
        self,
        target: Parameters,
        learning_rate: float,
        mu: Array,
        lam: Array,
        crew: Crew,
        *,
        keep: float = 1.0,
        pull: Array | None = None,
    ) -> None:
        """Set ``target.W`` to ``keep target.W`` and add the gradient to target.

        ``mu`` and ``lam`` are the offsets; ``pull`` (n_components,) is a further
        derivative at the input of each hidden unit on the positive rows.  The
        hidden layer is used up.
        """
        w = learning_rate * self.w
        # G = w * ([h0; hk] - lambda), in the place of the hidden layer.
        G = np.subtract(self.H, lam, out=self.H)
        G *= w[:, None]
        if pull is not None:
            G[: self.n] += learning_rate / self.n * pull
        r = w - G @ lam

        def add_slab(slab: _Slab) -> Array:
            W, b, mu_s = target.W[slab.features], target.b[slab.features], mu[slab.features]
            if sparse.issparse(slab.v0):
                return self._add_sparse(slab, W, b, mu_s, G, r, keep)
            S = np.subtract(slab.V, mu_s, out=slab.V)
            add_product(W, S, G, keep)
            b += r @ S
            return S @ mu_s

        S_mu = sum(crew.map(add_slab, self.slabs))
        c = target.c
        c += (1 - S_mu) @ G

    def _add_sparse(
        self, slab: _Slab, W: Array, b: Array, mu: Array, G: Array, r: Array, keep: float
    ) -> Array:
        """Do the same without forming S: S'G = V'G - mu (1'G)."""
        n = self.n
        add_product(W, slab.v0, G[:n], keep)
        add_product(W, slab.vk, G[n:])
        b += slab.v0.T @ r[:n] + slab.vk.T @ r[n:] - mu * r.sum()
        if mu.any():
            add_outer(W, mu, -G.sum(axis=0))
        return np.concatenate([slab.v0 @ mu, slab.vk @ mu]) - mu @ mu


def count_slabs(n_rows: int, n_features: int, n_components: int) -> int:
    """Return in how many slabs to cut the visible units: a power of two.

    A slab narrower than 256 units slows its matrix products down by more than a
    second thread makes up for, and a product of less than 2^22 terms is over
    before a second thread has begun.
    """
    terms = n_rows * n_features * n_components
    n_slabs = min(n_features >> 8, terms >> 22, MAX_SLABS)
    return 1 << max(0, n_slabs.bit_length() - 1)
