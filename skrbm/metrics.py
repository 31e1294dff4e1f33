"""Likelihoods of a fitted model, and scorers for model selection and diagnosis."""

from __future__ import annotations

import functools
import inspect
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from skrbm._core import partition
from skrbm._core.operations import quiet
from skrbm._core.rows import converted
from skrbm._core.sampling import START, Stream
from skrbm._core.types import dense
from skrbm._estimator import BinaryCDRBM
from skrbm._hyperparameters import root_of, workers_for
from skrbm._validation import integer, n_threads, none, one_of, real, seed
from skrbm._warnings import warn

__all__ = [
    "LogPartition",
    "free_energy_gap_scorer",
    "log_likelihood",
    "log_likelihood_scorer",
    "log_partition",
]

_RULES: dict[str, Any] = {
    "method": one_of("auto", "exact", "ais"),
    "betas": lambda _, value: _temperatures(value),
    "n_chains": integer(2),
    "n_gibbs_steps": integer(1),
    "tolerance": real("(0, inf)"),
    "n_jobs": none | n_threads,
    "random_state": seed,
}

# Units of the smaller layer that "exact" allows, and that "auto" takes it for.
MAX_EXACT, AUTO_EXACT = 25, 20


class LogPartition(NamedTuple):
    """The logarithm of a partition function, in nats, and what is known of its error.

    Attributes
    ----------
    value : float
        log Z; by annealed importance sampling it tends to be too low.
    standard_error : float
        Standard error of ``value`` over the chains; 0 if exact.  It says nothing
        of regions that no chain has found.
    reverse : float
        The estimate from the other side, which tends to be too high; ``value``
        itself if exact.
    method : {"exact", "ais"}
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
    betas: Any = 4000,
    n_chains: int = 100,
    n_gibbs_steps: int = 1000,
    tolerance: float = 2.0,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> LogPartition:
    """Return log Z of a fitted model, with ``Z = sum_v exp(-F(v))``.

    Parameters
    ----------
    rbm : BinaryCDRBM or Pipeline
        A fitted model, or a pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows from which the reverse chains of "ais" start, best training or test
        rows.  Without them they start where the forward chains end, and regions
        that the forward chains miss stay unseen.
    method : {"auto", "exact", "ais"}, default="auto"
        "exact" sums over all states of the smaller layer, of at most 25 units:
        about ``2^min(n_features, n_components) * max(n_features, n_components)``
        logarithms (less than a second for 784 x 16, seconds for 784 x 20, minutes
        for 784 x 25) in 50 MB a thread.  "ais" is annealed importance sampling.
        "auto" is exact for up to 20 units.
    betas : int or array-like, default=4000
        Inverse temperatures from 0 to 1: increasing values, or how many, evenly
        spaced.  The error falls with their number.
    n_chains : int, default=100
        Independent chains in each direction.
    n_gibbs_steps : int, default=1000
        Gibbs steps that bring the reverse chains near the model before they are
        heated up.
    tolerance : float, default=2.0
        A warning is given if the two estimates differ by more nats than that.
    n_jobs : int, default=None
        Threads; None takes as many as BLAS may use.  Never changes the result.
    random_state : int, RandomState instance or None, default=None
        Randomness of the chains.

    Returns
    -------
    result : LogPartition
        ``value``, ``standard_error``, ``reverse`` and ``method``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed, or "exact" is asked of too large a model.

    Warns
    -----
    UserWarning
        If the forward and the reverse estimate disagree.

    References
    ----------
    .. [1] R. M. Neal (2001). Annealed importance sampling. Statistics and
       Computing 11.
    .. [2] R. Salakhutdinov and I. Murray (2008). On the quantitative analysis of
       deep belief networks. ICML.

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
    _check(
        method=method,
        betas=betas,
        n_chains=n_chains,
        n_gibbs_steps=n_gibbs_steps,
        tolerance=tolerance,
        n_jobs=n_jobs,
        random_state=random_state,
    )
    rbm, X = _last_step(rbm, X)
    model = rbm._model()
    if X is not None:
        X = rbm._rows(X)
    n_units = min(model.W.shape)
    if method == "exact" and n_units > MAX_EXACT:
        raise ValueError(
            f'method="exact" sums over 2^{n_units} states: the smaller layer has '
            f'{n_units} units, and at most {MAX_EXACT} are allowed. Use method="ais".'
        )
    if method == "exact" or (method == "auto" and n_units <= AUTO_EXACT):
        with workers_for(n_jobs) as workers:
            value = partition.exact(model, workers)
        return LogPartition(value, 0.0, value, "exact")

    root = root_of(random_state)
    mean = np.clip(rbm.visible_mean_, 0.005, 0.995)
    base = np.log(mean / (1 - mean)).astype(model.W.dtype)
    n_chains, n_gibbs_steps = int(n_chains), int(n_gibbs_steps)
    start = None if X is None else _starting_rows(rbm, X, n_chains, root, model.W.dtype)
    with workers_for(n_jobs) as workers:
        forward, backward = partition.annealed(
            model,
            base,
            _temperatures(betas),
            n_chains,
            root,
            workers,
            start=start,
            n_gibbs_steps=n_gibbs_steps,
        )
    log_base = partition.log_partition_of_base(base, len(model.c))
    value = log_base + partition.log_mean_exp(forward)
    reverse = log_base - partition.log_mean_exp(backward)
    if abs(reverse - value) > tolerance:
        warn(
            f"Annealed importance sampling gives log Z = {value:.2f} nats forward and "
            f"{reverse:.2f} in reverse, more than tolerance={tolerance:g} apart: "
            "neither can be trusted. Use more betas, more n_gibbs_steps or, for a "
            'layer of at most 25 units, method="exact".',
            UserWarning,
        )
    return LogPartition(value, partition.standard_error(forward), reverse, "ais")


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
    if log_z is None:
        log_z = log_partition(rbm, X, **options)
    elif options:
        raise TypeError(f"log_z is given, so {sorted(options)} would have no effect.")
    if isinstance(log_z, LogPartition):
        log_z = log_z.value
    real("(-inf, inf)")("log_z", log_z)
    return -free_energies - log_z


def log_likelihood_scorer(**options: Any) -> Any:
    """Return a scorer for model selection: the mean log-likelihood of rows.

    Parameters
    ----------
    **options : dict
        Arguments of `log_partition`, but for X: the rows scored are given for it.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None)``, for the ``scoring`` of `GridSearchCV`
        and its like; higher is better, in nats.  The estimator is a `BinaryCDRBM`
        or a pipeline that ends in one.

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
    return functools.partial(_mean_log_likelihood, options=options)


def free_energy_gap_scorer(X_train: Any) -> Any:
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

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None)``; in nats.  The estimator is a
        `BinaryCDRBM` or a pipeline that ends in one.

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
    return functools.partial(_free_energy_gap, X_train=X_train)


def _mean_log_likelihood(
    estimator: Any, X: Any, y: Any = None, *, options: dict[str, Any]
) -> float:
    return float(log_likelihood(estimator, X, **options).mean())


def _free_energy_gap(estimator: Any, X: Any, y: Any = None, *, X_train: Any) -> float:
    rbm, seen = _last_step(estimator, X_train)
    rbm, unseen = _last_step(estimator, X)
    return float(rbm.free_energy(seen).mean() - rbm.free_energy(unseen).mean())


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


def _check(**options: Any) -> None:
    """Check arguments of `log_partition`."""
    for name, value in options.items():
        _RULES[name](name, value)


def _temperatures(betas: Any) -> np.ndarray:
    """Return inverse temperatures, if they are allowed."""
    if isinstance(betas, Integral):
        integer(2)("betas", betas)
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
    rbm: BinaryCDRBM, X: Any, n_chains: int, root: int, dtype: Any
) -> np.ndarray:
    """Return rows of X for the reverse chains to start from, each drawn alike."""
    chosen = Stream(root, START).choice(X.shape[0], n_chains)
    return converted(dense(X[np.sort(chosen)]), dtype, rbm.binarize)
