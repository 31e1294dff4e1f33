"""log Z: exactly by enumeration, or by annealed importance sampling both ways."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import logsumexp

from skrbm._core.energy import states
from skrbm._core.operations import quiet, sigmoid, softplus, times, times_transposed
from skrbm._core.parameters import Parameters
from skrbm._core.progress import Progress
from skrbm._core.rows import pieces
from skrbm._core.sampling import ANNEAL, Stream, bernoulli, gibbs_chain
from skrbm._core.threads import Workers, worth_sharing
from skrbm._core.types import Array

# Elements of a block of the enumeration: 8 MB in double precision.
_BLOCK = 1 << 20
# Chains that share one stream of random numbers and one matrix product, at least.
_CHAINS = 25


def exact(
    parameters: Parameters, workers: Workers, progress: Progress | None = None
) -> float:
    """Return log Z by summing over all states of the smaller layer.

        Z = sum_h exp(c'h) prod_i (1 + exp(b_i + (Wh)_i))

    or the same with the layers exchanged; in double precision, in blocks.
    """
    W, b, c = parameters.astype(np.float64)
    if len(b) < len(c):
        W, b, c = W.T, c, b
    # A block runs over the states of the first units; the others are fixed in it.
    n_inner = min(len(c), max(1, (_BLOCK // len(b)).bit_length() - 1))
    inner, outer = states(n_inner), states(len(c) - n_inner)
    x_inner, log_weight = inner @ W.T[:n_inner] + b, inner @ c[:n_inner]

    progress = progress or Progress()
    progress.begin(len(outer))

    @quiet
    def block(h: Array) -> float:
        x = x_inner + h @ W.T[n_inner:]
        value = logsumexp(log_weight + softplus(x).sum(axis=1)) + h @ c[n_inner:]
        progress.step()
        return float(value)

    return float(logsumexp(workers.map(block, list(outer))))


def log_partition_of_base(b: Array, n_components: int) -> float:
    """Return log Z of independent visible units and idle hidden ones."""
    return float(softplus(b.astype(np.float64)).sum() + n_components * np.log(2))


def log_partition_of_coins(parameters: Parameters) -> float:
    """Return log Z at temperature 0, where all units are fair coins."""
    return log_partition_of_base(np.zeros_like(parameters.b), len(parameters.c))


@quiet
def anneal(
    parameters: Parameters,
    base: Array,
    betas: Array,
    v: Array,
    rng: Stream,
    workers: Workers,
    progress: Progress | None = None,
) -> tuple[Array, Array]:
    """Carry rows along a path of temperatures; return log weights and last rows.

    At inverse temperature beta the unnormalised probability is

        log p_beta(v) = ((1 - beta) base + beta b)'v + sum_j softplus(beta a_j)

    with a = c + v'W.  Each step adds log p_next(v) - log p_now(v) to the weight
    and then takes one Gibbs step at the next temperature (Neal 2001; for RBMs
    Salakhutdinov & Murray 2008).  ``betas`` may run from 0 to 1 or back.
    """
    progress = progress or Progress()
    W, b, c = parameters
    slope = (b - base).astype(np.float64)
    log_weight = np.zeros(len(v))
    a = times(v, W) + c
    for now, then in workers.steps(itertools.pairwise(betas.astype(W.dtype))):
        log_weight += np.float64(then - now) * (v @ slope)
        log_weight += softplus(then * a).sum(axis=1, dtype=np.float64)
        log_weight -= softplus(now * a).sum(axis=1, dtype=np.float64)
        h = bernoulli(sigmoid(then * a), rng, scratch=a)
        p = sigmoid(times_transposed(then * h, W), (1 - then) * base + then * b)
        v = bernoulli(p, rng, scratch=p).astype(W.dtype)
        a = times(v, W) + c
        progress.step()
    return log_weight, v


def annealed(
    parameters: Parameters,
    base: Array,
    betas: Array,
    n_chains: int,
    root: int,
    workers: Workers,
    *,
    start: Array | None,
    n_gibbs_steps: int,
    progress: Progress | None = None,
) -> tuple[Array, Array]:
    """Return log weights, one for each chain: forward, and backward.

    Forward chains run from the base model to the model: the mean of exp(forward)
    is an unbiased estimate of Z / Z_base, and its logarithm errs low.  Backward
    chains start from rows that ``n_gibbs_steps`` steps have brought near the model,
    and run to the base: the mean of exp(backward) estimates Z_base / Z, so that its
    logarithm, negated, errs high.  They begin at rows of ``start`` or, without it,
    where the forward chains end.
    """
    mean = sigmoid(base.copy())
    n_weights = parameters.W.size
    groups = pieces(n_chains, n_weights, _CHAINS)
    progress = progress or Progress()
    progress.begin(2 * len(groups) * (len(betas) - 1))

    def run(chains: slice) -> tuple[Array, Array]:
        rng = Stream(root, ANNEAL, chains.start)
        n = chains.stop - chains.start
        v = bernoulli(np.tile(mean, (n, 1)), rng).astype(mean.dtype)
        forward, v = anneal(parameters, base, betas, v, rng, workers, progress)
        if start is not None:
            v = start[chains]
        v = gibbs_chain(parameters, v, n_gibbs_steps, rng, workers)
        back = betas[::-1]
        backward, _ = anneal(parameters, base, back, v, rng, workers, progress)
        return forward, backward

    share = worth_sharing(n_chains * len(betas) * n_weights, n_weights)
    parts = workers.map(run, groups, share=share)
    forward, backward = (np.concatenate(part) for part in zip(*parts, strict=True))
    return forward, backward


@quiet
def log_mean_exp(x: Array) -> float:
    """Return log(mean(exp(x)))."""
    return float(logsumexp(x) - np.log(len(x)))


@quiet
def standard_error(x: Array) -> float:
    """Return the standard error of `log_mean_exp` of independent x, to first order."""
    weights = np.exp(x - x.max())
    return float(weights.std(ddof=1) / weights.mean() / np.sqrt(len(x)))
