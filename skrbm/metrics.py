"""Likelihoods of a fitted model, and scorers for model selection and diagnosis."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from skrbm._core import partition
from skrbm._core.mixing import LARGE_SHIFT, STUCK, SURE, mixing
from skrbm._core.monitoring import LEAST_RATE
from skrbm._core.operations import quiet
from skrbm._core.parameters import Parameters
from skrbm._core.progress import Progress
from skrbm._core.sampling import LADDERS, START, Stream, bernoulli
from skrbm._core.tempering import Tempering, log_ratio
from skrbm._core.threads import Workers
from skrbm._estimator import BinaryCDRBM
from skrbm._hyperparameters import MOST, RULES, root_of, temperatures, workers_for
from skrbm._progress import Report
from skrbm._validation import (
    are_binary,
    boolean,
    check_weights,
    integer,
    n_threads,
    none,
    one_of,
    real,
    seed,
)
from skrbm._warnings import warn
from skrbm.exceptions import DataRangeWarning

__all__ = [
    "LogPartition",
    "SamplingDiagnostics",
    "free_energy_gap_scorer",
    "log_likelihood",
    "log_likelihood_scorer",
    "log_partition",
    "sampling_diagnostics",
]

_RULES: dict[str, Any] = {
    "method": one_of("auto", "exact", "ais", "tempering"),
    "betas": lambda name, value: value is None or _temperatures(name, value),
    "n_temperatures": none | integer(2, MOST),
    "n_chains": none | integer(2, MOST),
    "n_gibbs_steps": none | integer(1),
    "tolerance": real("(0, inf)"),
    "n_jobs": none | n_threads,
    "verbose": boolean | integer(0),
    "random_state": seed,
}

# The arguments that belong to a method, and what they are where they are None.
_DEFAULTS: dict[str, dict[str, int]] = {
    "exact": {},
    "ais": {"betas": 4000, "n_chains": 100, "n_gibbs_steps": 1000},
    "tempering": {"n_temperatures": 30, "n_chains": 600, "n_gibbs_steps": 2000},
}

# Units of the smaller layer that "exact" allows, and that "auto" takes it for.
MAX_EXACT, AUTO_EXACT = 25, 20


class LogPartition(NamedTuple):
    """The logarithm of a partition function, in nats, and what is known of its error.

    Attributes
    ----------
    value : float
        log Z.  By "ais" it tends to be too low.
    standard_error : float
        Standard error of ``value`` over the chains; 0 if exact.  It says nothing
        of regions that no chain has found.
    reverse : float
        The estimate from the other side, which tends to be too high; ``value``
        itself if exact.
    method : {"exact", "ais", "tempering"}
        How it was obtained.
    """

    value: float
    standard_error: float
    reverse: float
    method: str


def log_partition(
    rbm: BinaryCDRBM,
    X: Any = None,
    *,
    method: str = "auto",
    betas: Any = None,
    n_temperatures: int | None = None,
    n_chains: int | None = None,
    n_gibbs_steps: int | None = None,
    tolerance: float = 2.0,
    n_jobs: int | None = None,
    verbose: int = 0,
    random_state: Any = None,
) -> LogPartition:
    """Return log Z of a fitted model, with ``Z = sum_v exp(-F(v))``.

    Parameters
    ----------
    rbm : BinaryCDRBM or Pipeline
        A fitted model, or a pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows from which chains start, best training or test rows: the reverse chains of
        "ais", and half of the ladders of "tempering".  Without them they start where
        other chains end, and regions that those miss stay unseen.
    method : {"auto", "exact", "ais", "tempering"}, default="auto"
        "exact" sums over all states of the smaller layer, of at most 25 units:
        about ``2^min(n_features, n_components) * max(n_features, n_components)``
        logarithms (less than a second for 784 x 16, seconds for 784 x 20, minutes
        for 784 x 25) in 50 MB a thread.  "ais" is annealed importance sampling [1]_
        [2]_, which works for models of any size.  "tempering" lets chains at several
        temperatures exchange their states [3]_: a check of "ais" by other means, as
        accurate in twice the time on models of up to some hundred columns.  "auto" is
        "exact" for up to 20 units, and then "ais", or "tempering" if ``n_temperatures``
        is given.
    betas : int or array-like, default=None
        For "ais": inverse temperatures from 0 to 1, as increasing values, or how many,
        evenly spaced.  The error falls with their number.  None stands for 4000.
    n_temperatures : int, default=None
        For "tempering": at how many temperatures chains stand.  More of them exchange
        more often.  None stands for 30.
    n_chains : int, default=None
        For "ais": independent chains in each direction; None stands for 100.  For
        "tempering": chains at all temperatures together; None stands for 600.
    n_gibbs_steps : int, default=None
        For "ais": Gibbs steps that bring the reverse chains near the model before they
        are heated up; None stands for 1000.  For "tempering": steps of every chain, of
        which the second half counts; None stands for 2000.
    tolerance : float, default=2.0
        A warning is given if two estimates differ by more nats than that: forward and
        reverse, and for "tempering" also ladders that start from X and others.
    n_jobs : int, default=None
        Threads; None takes as many as BLAS may use.  Never changes the result.
    verbose : int, default=0
        Whether to print every two seconds how much is done, and the time left.
    random_state : int, RandomState instance or None, default=None
        Randomness of the chains.

    Returns
    -------
    result : LogPartition
        ``value``, ``standard_error``, ``reverse`` and ``method``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed or belongs to another method, or "exact" is asked
        of too large a model.

    Warns
    -----
    ConvergenceWarning
        If two estimates disagree, or if chains at neighbouring temperatures hardly
        exchange their states.

    References
    ----------
    .. [1] R. M. Neal (2001). Annealed importance sampling. Statistics and
       Computing 11.
    .. [2] R. Salakhutdinov and I. Murray (2008). On the quantitative analysis of
       deep belief networks. ICML.
    .. [3] C. H. Bennett (1976). Efficient estimation of free energy differences from
       Monte Carlo data. Journal of Computational Physics 22.

    Examples
    --------
    >>> import numpy as np
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.metrics import log_partition
    >>> X = np.random.RandomState(0).rand(100, 8) < 0.3
    >>> rbm = BinaryCDRBM(n_components=4, n_iter=2, random_state=0).fit(X)
    >>> exact = log_partition(rbm)
    >>> ais = log_partition(rbm, X, method="ais", betas=500, random_state=0)
    >>> exact.method, bool(abs(ais.value - exact.value) < 0.1)
    ('exact', True)
    """
    given = dict(
        betas=betas,
        n_temperatures=n_temperatures,
        n_chains=n_chains,
        n_gibbs_steps=n_gibbs_steps,
    )
    _check(
        method=method,
        tolerance=tolerance,
        n_jobs=n_jobs,
        verbose=verbose,
        random_state=random_state,
        **given,
    )
    rbm, X = _last_step(rbm, X)
    model = rbm._model()
    if X is not None:
        X = rbm._rows(X, ranged=False)
    n_units = min(model.W.shape)
    if method == "exact" and n_units > MAX_EXACT:
        raise ValueError(
            f'method="exact" sums over 2^{n_units} states: the smaller layer has '
            f"{n_units} units, and at most {MAX_EXACT} are allowed. Use "
            'method="tempering" or method="ais".'
        )
    if method == "auto":
        if n_units <= AUTO_EXACT:
            method = "exact"
        else:
            method = "ais" if n_temperatures is None else "tempering"
    options: dict[str, Any] = _DEFAULTS[method] | {
        name: value
        for name, value in given.items()
        if value is not None and name in _DEFAULTS[method]
    }
    progress = Progress(Report("log_partition") if verbose else None)
    with workers_for(n_jobs) as workers:
        if method == "exact":
            value = partition.exact(model, workers, progress)
            return LogPartition(value, 0.0, value, "exact")
        root = root_of(random_state)
        start = None
        if X is not None:
            start = functools.partial(_starting_rows, rbm, X, root, model.W.dtype)
        estimate = _annealed if method == "ais" else _tempered
        return estimate(
            rbm, model, start, root, workers, tolerance, progress, **options
        )


def _annealed(
    rbm: BinaryCDRBM,
    model: Parameters,
    start: Callable[[int], np.ndarray] | None,
    root: int,
    workers: Workers,
    tolerance: float,
    progress: Progress,
    *,
    betas: Any,
    n_chains: int,
    n_gibbs_steps: int,
) -> LogPartition:
    """Return log Z by annealed importance sampling."""
    mean = np.clip(rbm._visible_mean(model), 0.005, 0.995).astype(np.float64)
    base = np.log(mean / (1 - mean)).astype(model.W.dtype)
    n_chains = int(n_chains)
    forward, backward = partition.annealed(
        model,
        base,
        _temperatures("betas", betas),
        n_chains,
        root,
        workers,
        start=None if start is None else start(n_chains),
        n_gibbs_steps=int(n_gibbs_steps),
        progress=progress,
    )
    log_base = partition.log_partition_of_base(base, len(model.c))
    value = log_base + partition.log_mean_exp(forward)
    reverse = log_base - partition.log_mean_exp(backward)
    if abs(reverse - value) > tolerance:
        warn(
            f"Annealed importance sampling gives log Z = {value:.2f} nats forward and "
            f"{reverse:.2f} in reverse, more than tolerance={tolerance:g} apart: "
            "neither can be trusted. Use more betas, more n_gibbs_steps, "
            'method="tempering" or, for a layer of at most 25 units, method="exact".',
            ConvergenceWarning,
        )
    return LogPartition(value, partition.standard_error(forward), reverse, "ais")


def _tempered(
    rbm: BinaryCDRBM,
    model: Parameters,
    start: Callable[[int], np.ndarray] | None,
    root: int,
    workers: Workers,
    tolerance: float,
    progress: Progress,
    *,
    n_temperatures: int,
    n_chains: int,
    n_gibbs_steps: int,
) -> LogPartition:
    """Return log Z by tempering."""
    n_temperatures, n_steps = int(n_temperatures), int(n_gibbs_steps)
    n_ladders = max(4, int(n_chains) // n_temperatures)
    p = np.tile(rbm._visible_mean(model), (n_ladders, 1))
    v = bernoulli(p, Stream(root, START)).astype(p.dtype)
    half = n_ladders // 2
    if start is not None:
        v[:half] = start(half)
    betas = np.linspace(0, 1, n_temperatures)
    ladders = Tempering(model, betas, v, root, LADDERS, workers)
    n_rounds = 5 if n_steps >= 10 else 0
    ladders.adapt(n_rounds, n_steps // 10)
    run = ladders.run(
        n_steps - n_rounds * (n_steps // 10), record=True, progress=progress
    )
    log_coins = partition.log_partition_of_coins(model)
    ratio = log_ratio(ladders.betas, run.U)
    value, reverse = ratio.value + log_coins, ratio.reverse + log_coins
    low, high = ratio.forward + log_coins, reverse
    halves = [
        log_ratio(ladders.betas, run.U[:, part]).value
        for part in (slice(half), slice(half, None))
    ]
    apart = max(abs(high - low), abs(halves[0] - halves[1]))
    if apart > tolerance or run.rates.min() < LEAST_RATE:
        warn(
            f"Tempering gives log Z = {low:.2f} nats from high to low temperatures and "
            f"{high:.2f} from low to high, and half of the ladders {halves[0]:.2f} "
            f"where the other half gives {halves[1]:.2f}; neighbours exchanged in "
            f"{100 * run.rates.min():.0f} % of the steps at least. It cannot be "
            "trusted. Use more n_temperatures with as many times more n_chains, more "
            'n_gibbs_steps, or method="ais".',
            ConvergenceWarning,
        )
    return LogPartition(value, ratio.standard_error, reverse, "tempering")


class SamplingDiagnostics(NamedTuple):
    """Whether samples of a model can be trusted.

    Attributes
    ----------
    trusted : bool
        Whether samples went between all groups of the rows, in their shares.
    betas : ndarray of shape (n_temperatures,)
        Inverse temperatures, from 0 to 1.
    exchange_rates : ndarray of shape (n_temperatures - 1,)
        How often two neighbours exchanged their states, per offer.  Below 0.05 chains
        hardly get from one to the other.
    n_round_trips : int
        How often a chain came from temperature 1 to 0 and back, all ladders together.
        Each trip forgets where the chain came from.
    sample_mean, row_mean : ndarray of shape (n_features,)
        Means of the columns over samples, and over the rows given.
    standard_error : ndarray of shape (n_features,)
        Standard error of the difference of the two.
    shift : float
        The largest difference of means along the directions in which rows vary most, in
        standard deviations of the rows in that direction.
    shift_error : float
        Its standard error.
    stuck : float
        How far single chains stayed where they were, from 0 (they went everywhere) to 1
        (each stayed in a group of its own).
    """

    trusted: bool
    betas: np.ndarray
    exchange_rates: np.ndarray
    n_round_trips: int
    sample_mean: np.ndarray
    row_mean: np.ndarray
    standard_error: np.ndarray
    shift: float
    shift_error: float
    stuck: float

    def __repr__(self) -> str:
        """Return what decides; arrays are left to those who look at them."""
        rate = self.exchange_rates.min() if len(self.exchange_rates) else np.nan
        return (
            f"SamplingDiagnostics(trusted={self.trusted}, "
            f"shift={self.shift:.3g} +- {self.shift_error:.2g}, "
            f"stuck={self.stuck:.2g}, n_round_trips={self.n_round_trips}, "
            f"lowest exchange rate {rate:.2g})"
        )


def sampling_diagnostics(
    rbm: BinaryCDRBM,
    X: Any,
    *,
    n_samples: int = 50,
    n_gibbs_steps: int = 1000,
    n_temperatures: int | str = "auto",
    random_state: Any = None,
) -> SamplingDiagnostics:
    """Say whether samples of a model can be trusted, and whether they are like rows.

    It draws rows as `BinaryCDRBM.sample` does, but from chains that start at rows of X,
    and compares the way of the chains with these rows.

    Parameters
    ----------
    rbm : BinaryCDRBM or Pipeline
        A fitted model, or a pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that the model was trained on, or others like them.
    n_samples : int, default=50
        Number of rows, each from chains of its own.
    n_gibbs_steps : int, default=1000
        Length of each chain, as in `BinaryCDRBM.sample`: check with what you sample
        with.
    n_temperatures : int or "auto", default="auto"
        Number of temperatures, as in `BinaryCDRBM.sample`.
    random_state : int, RandomState instance or None, default=None
        Randomness of the chains.

    Returns
    -------
    result : SamplingDiagnostics
        ``trusted`` first, and what it goes by.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.metrics import sampling_diagnostics
    >>> X = np.repeat([[0], [1]] * 500, 20, axis=1)  # rows of zeros, rows of ones
    >>> rbm = BinaryCDRBM(16, persistent=True, random_state=0).fit(X)
    >>> sampling_diagnostics(rbm, X, random_state=0).trusted
    True
    >>> sampling_diagnostics(rbm, X, n_temperatures=1, random_state=0).trusted
    False
    """
    integer(2, MOST)("n_samples", n_samples)
    integer(1)("n_gibbs_steps", n_gibbs_steps)
    RULES["n_temperatures"]("n_temperatures", n_temperatures)
    seed("random_state", random_state)
    rbm, X = _last_step(rbm, X)
    model, X = rbm._model(), rbm._rows(X)
    if n_temperatures == "auto":
        n_temperatures = temperatures(*model.W.shape)
    root = root_of(random_state)
    rows = _starting_rows(rbm, X, root, model.W.dtype, min(500, X.shape[0]))
    start = rows[np.arange(int(n_samples)) % len(rows)]
    run, betas = rbm._ladders(
        model,
        start,
        int(n_temperatures),
        int(n_gibbs_steps),
        root,
        LADDERS,
        record=True,
    )
    found = mixing(run.mean, rows)
    variance = run.mean.var(axis=0, ddof=1) / len(run.mean) + rows.var(axis=0) / len(
        rows
    )
    return SamplingDiagnostics(
        found.stuck < STUCK
        and found.shift < max(LARGE_SHIFT, SURE * found.shift_error),
        betas,
        run.rates,
        run.n_round_trips,
        run.mean.mean(axis=0),
        rows.mean(axis=0),
        np.sqrt(variance),
        found.shift,
        found.shift_error,
        found.stuck,
    )


def log_likelihood(
    rbm: BinaryCDRBM,
    X: Any,
    *,
    log_z: float | LogPartition | None = None,
    **options: Any,
) -> np.ndarray:
    """Return ``log p(v) = -F(v) - log Z`` of each row.

    Parameters
    ----------
    rbm : BinaryCDRBM or Pipeline
        A fitted model, or a pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows of visible units, 0 or 1.
    log_z : float or LogPartition, default=None
        log Z, where it is known; else `log_partition` estimates it, with reverse
        chains that start from rows of X.
    **options : dict
        Further arguments of `log_partition`.

    Returns
    -------
    log_likelihoods : ndarray of shape (n_samples,)
        In nats.

    Raises
    ------
    TypeError, ValueError
        As in `log_partition`.

    Warns
    -----
    DataRangeWarning
        If rows hold other values than 0 and 1, which have no likelihood.

    Examples
    --------
    >>> import numpy as np
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.metrics import log_likelihood
    >>> X = np.random.RandomState(0).rand(100, 3) < 0.3
    >>> rbm = BinaryCDRBM(n_components=2, n_iter=2, random_state=0).fit(X)
    >>> V = np.array([[i >> j & 1 for j in range(3)] for i in range(8)])
    >>> round(float(np.exp(log_likelihood(rbm, V)).sum()), 6)
    1.0
    """
    rbm, X = _last_step(rbm, X)
    free_energies = rbm.free_energy(X)
    _warn_of_grey(rbm, X)
    if log_z is None:
        log_z = log_partition(rbm, X, **options)
    elif options:
        raise TypeError(f"log_z is given, so {sorted(options)} would have no effect.")
    if isinstance(log_z, LogPartition):
        log_z = log_z.value
    real("(-inf, inf)")("log_z", log_z)
    return -free_energies - log_z


def _warn_of_grey(rbm: BinaryCDRBM, X: Any) -> None:
    """Warn that rows which are not zeros and ones have no likelihood."""
    if rbm.binarize is not None:
        return
    X = rbm._checked(X, ranged=False)
    # Of rows out of range `free_energy` has warned.
    if not are_binary(X) and not (X.min() < 0 or X.max() > 1):
        warn(
            "X has values other than 0 and 1, of which -F(v) - log Z is no "
            "log-likelihood: only compare models by it on the same rows. Set binarize, "
            "or encode columns as zeros and ones.",
            DataRangeWarning,
        )


def log_likelihood_scorer(*scored: Any, **options: Any) -> Any:
    """Return a scorer for model selection: the mean log-likelihood of rows.

    Give it to `GridSearchCV` as ``scoring=log_likelihood_scorer()``, or without the
    parentheses.  It computes log Z for every model scored, which can take several times
    as long as to fit it: ``method="exact"`` and few hidden units make it fast.

    Parameters
    ----------
    *scored : estimator, X and y
        What scikit-learn gives where the parentheses are left out.
    **options : dict
        Arguments of `log_partition`, but for X: the rows scored are given for it.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None, *, sample_weight=None)``, for the ``scoring`` of
        `GridSearchCV` and its like; higher is better, in nats.  The estimator is a
        `BinaryCDRBM` or a pipeline that ends in one.

    Raises
    ------
    TypeError, ValueError
        If `log_partition` has no such argument, or it is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.metrics import log_likelihood_scorer
    >>> X = np.random.RandomState(0).rand(60, 6) < 0.3
    >>> search = GridSearchCV(
    ...     BinaryCDRBM(n_iter=2, random_state=0),
    ...     {"n_components": [2, 4]},
    ...     scoring=log_likelihood_scorer(method="exact"),
    ... )
    >>> search.fit(X).best_params_["n_components"] in (2, 4)
    True
    """
    inspect.signature(log_partition).bind(None, None, **options)
    _check(**options)
    scorer = functools.partial(_mean_log_likelihood, options=options)
    if len(scored) == 1:
        raise TypeError(
            "log_likelihood_scorer takes arguments of log_partition by name. Rows are "
            "given by scikit-learn: write scoring=log_likelihood_scorer()."
        )
    return scorer(*scored) if scored else scorer


def free_energy_gap_scorer(X_train: Any, *scored: Any) -> Any:
    """Return a scorer that tells of overfitting: how much likelier training rows are.

    The score is the mean free energy of ``X_train`` less that of the rows scored,
    the gap of ``history_`` negated so that higher is better.  It needs no log Z:
    about 0 as long as both are equally likely, and the more negative the more the
    model has learnt its training rows by heart (Hinton 2010, section 6).  It is to be
    read beside another score and not to choose by, since a model that has learnt
    nothing does not overfit either.

    Parameters
    ----------
    X_train : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that the model was trained on, or some of them.  In cross-validation the
        rows scored are among those of the whole of X, which makes the gap smaller.
    *scored : None
        Nothing: what scikit-learn gives where ``(X_train)`` was left out is an error.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None, *, sample_weight=None)``; in nats.  The estimator
        is a `BinaryCDRBM` or a pipeline that ends in one.

    Raises
    ------
    TypeError
        If it is passed as a scorer itself.

    References
    ----------
    .. [1] G. Hinton (2010). A practical guide to training restricted Boltzmann
       machines. UTML TR 2010-003.

    Examples
    --------
    >>> import numpy as np
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.metrics import free_energy_gap_scorer
    >>> X = np.random.RandomState(0).rand(60, 6) < 0.3
    >>> rbm = BinaryCDRBM(n_components=2, n_iter=2, random_state=0).fit(X)
    >>> free_energy_gap_scorer(X)(rbm, X)
    0.0
    """
    if scored:
        raise TypeError(
            "free_energy_gap_scorer needs the rows trained on. Write "
            "scoring=free_energy_gap_scorer(X_train)."
        )
    return functools.partial(_free_energy_gap, X_train=X_train)


def _mean_log_likelihood(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    options: dict[str, Any],
) -> float:
    values = log_likelihood(estimator, X, **options)
    return float(np.average(values, weights=check_weights(sample_weight, len(values))))


def _free_energy_gap(
    estimator: Any, X: Any, y: Any = None, *, sample_weight: Any = None, X_train: Any
) -> float:
    rbm, seen = _last_step(estimator, X_train)
    rbm, unseen = _last_step(estimator, X)
    energies = rbm.free_energy(unseen)
    weights = check_weights(sample_weight, len(energies))
    mean = np.average(energies, weights=weights)
    return float(rbm.free_energy(seen).mean() - mean)


def _last_step(estimator: Any, X: Any) -> tuple[BinaryCDRBM, Any]:
    """Return the model itself or at the end of a pipeline, and X as it reaches it."""
    rbm, before = estimator, []
    while isinstance(rbm, Pipeline):
        before.append(rbm[:-1])
        rbm = rbm[-1]
    if not isinstance(rbm, BinaryCDRBM):
        raise TypeError(
            "A BinaryCDRBM or a pipeline that ends in one is needed, got "
            f"{type(estimator).__name__}"
            + (f" that ends in {type(rbm).__name__}." if rbm is not estimator else ".")
        )
    if X is not None:
        for steps in filter(len, before):
            X = steps.transform(X)
    return rbm, X


def _check(method: str = "auto", **options: Any) -> None:
    """Check arguments of `log_partition`."""
    _RULES["method"]("method", method)
    for name, value in options.items():
        _RULES[name](name, value)
        owners = [other for other, own in _DEFAULTS.items() if name in own]
        if value is not None and owners and method not in {"auto", *owners}:
            raise ValueError(
                f"{name} belongs to method={' or '.join(map(repr, owners))}, and does "
                f"nothing with method={method!r}. Leave it out."
            )


def _temperatures(name: str, betas: Any) -> np.ndarray:
    """Return inverse temperatures, if they are allowed."""
    if isinstance(betas, Integral):
        integer(2)(name, betas)
        return np.linspace(0, 1, int(betas))
    values = np.asarray(betas)
    if (
        values.dtype.kind not in "iuf"
        or values.ndim != 1
        or len(values) < 2
        or (values[0], values[-1]) != (0, 1)
        or not (np.diff(values.astype(np.float64)) > 0).all()
    ):
        raise ValueError(
            "betas must be a number of temperatures or values that increase from 0 to "
            f"1 without repeats, got {betas!r}."
        )
    return values.astype(np.float64)


@quiet
def _starting_rows(
    rbm: BinaryCDRBM, X: Any, root: int, dtype: Any, n_rows: int
) -> np.ndarray:
    """Return rows of X for chains to start from, each drawn alike."""
    rng = Stream(root, START, 1)
    chosen = np.sort(rng.choice(X.shape[0], n_rows))
    return rbm._starts(rbm._model(dtype), X[chosen], rng)
