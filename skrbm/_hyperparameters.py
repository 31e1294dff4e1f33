"""The hyper-parameters of `BinaryCDRBM`: what is allowed, and what "auto" means."""

from __future__ import annotations

import functools
import math
import os
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import cpu_count, effective_n_jobs
from sklearn.utils import check_random_state

from skrbm._core.rows import Moments
from skrbm._core.threads import Workers, blas_threads
from skrbm._core.training import SCHEDULES, Settings
from skrbm._validation import (
    Rule,
    boolean,
    integer,
    n_threads,
    none,
    one_of,
    real,
    seed,
    thresholds,
)

# The type of training, and of queries of models that are not small.
DTYPE = np.float32

# The largest size of an array that is asked for by a number.
MOST = 2**31 - 1

RULES: dict[str, Rule] = {
    "n_components": integer(1, MOST),
    "learning_rate": one_of("auto") | real("(0, inf)"),
    "batch_size": one_of("auto") | integer(1),
    "n_iter": one_of("auto") | integer(0),
    "n_gibbs_steps": integer(1),
    "persistent": boolean,
    "n_chains": one_of("auto") | integer(1, MOST),
    "n_temperatures": one_of("auto") | integer(1, MOST),
    "statistics": one_of("auto", "probabilities", "states"),
    "centered": boolean,
    "momentum": real("[0, 1)"),
    "weight_decay": one_of("auto") | real("[0, inf)"),
    "sparsity_target": real("(0, 1)"),
    "sparsity_cost": one_of("auto") | real("[0, inf)"),
    "learning_rate_schedule": one_of("auto", *SCHEDULES),
    "average": one_of("auto") | none | integer(1) | real("(0, 1)"),
    "weight_scale": real("[0, inf)"),
    "visible_intercept_init": one_of("logit") | real("(-inf, inf)"),
    "hidden_intercept_init": one_of("auto") | real("(-inf, inf)"),
    "shuffle": boolean,
    "warm_start": boolean,
    "early_stopping": boolean,
    "validation_fraction": real("(0, 1)"),
    "n_iter_no_change": integer(1),
    "tol": real("[0, inf)"),
    "binarize": none | one_of("mean") | real("(-inf, inf)") | thresholds,
    "handle_missing": one_of("error", "sample"),
    "n_jobs": none | n_threads,
    "verbose": boolean | integer(0),
    "random_state": seed,
}

# Below this many rows an epoch has too few updates for larger batches.
FEW_ROWS = 5000
# Where the data are a weaker signal than this (`TrainingState.signal`), the gradient
# alone leaves training on the plateau where all hidden units are alike; noise does not.
WEAK_SIGNAL = 9.5
# With more columns, or weights, chains at neighbouring temperatures hardly exchange,
# and the chains that stand there are missed in the gradient.
MANY_FEATURES, MANY_WEIGHTS = 500, 1 << 15


def temperatures(n_features: int, n_components: int) -> int:
    """Return at how many temperatures chains are to stand."""
    large = n_features > MANY_FEATURES or n_features * n_components > MANY_WEIGHTS
    return 1 if large else 5


def auto(
    *,
    persistent: bool,
    statistics: str,
    n_rows: int,
    signal: float,
    n_features: int,
    n_components: int,
) -> dict[str, Any]:
    """Return what "auto" stands for; docs/benchmarks has what it was chosen by."""
    few = n_rows < FEW_ROWS
    if statistics == "auto":
        statistics = "states" if signal < WEAK_SIGNAL else "probabilities"
    step = 1 / math.sqrt(n_components)
    rule = {
        "batch_size": 10 if few else 20,
        # Very few rows make very few updates, but are also overfitted sooner.
        "n_iter": max(20, min(100, round(20 * math.sqrt(1000 / n_rows)))),
        "average": 0.002,
        # Chains of a small model cost little.
        "n_chains": min(200, max(50, 12_800 // n_components)),
        "statistics": statistics,
        "n_temperatures": temperatures(n_features, n_components),
    }
    if persistent:
        # Chains have to mix as fast as the model moves.
        return rule | {
            "learning_rate": min(0.25, (2 if few else 1) * step),
            "learning_rate_schedule": "linear",
            "weight_decay": 0.0,
            "sparsity_cost": 0.01,
            "hidden_intercept_init": -1.0,
        }
    # Large steps of a small model, averaged, undo some of the bias; of very few rows,
    # which are passed over more often, smaller ones do.
    rate = 2 * step * min(1.0, math.sqrt(n_rows / 1000))
    # A normal prior of precision 4 on each weight; but features, of many hidden units,
    # want more of it than many rows leave.  The noise of sampled states holds weights
    # back by itself.
    decay = max(4 / n_rows, 0.0005 * min(1.0, n_components / 256))
    return rule | {
        "learning_rate": min(0.5, max(0.1, rate)),
        "learning_rate_schedule": "constant",
        "weight_decay": 0.0 if statistics == "states" else min(0.001, decay),
        # A few hidden units cannot afford to be sparse.
        "sparsity_cost": 0.3 * min(1.0, n_components / 500) ** 2,
        # Sparse features want a lower start than densities do.
        "hidden_intercept_init": -2.0,
    }


def auto_names(settings: Settings) -> list[str]:
    """Return the names of the hyper-parameters that may be "auto", where they count."""
    of_chains = set() if settings.persistent else {"n_chains", "n_temperatures"}
    return [
        name
        for name, rule in RULES.items()
        if rule.accepts("auto") and name not in of_chains
    ]


def check_parameters(estimator: Any) -> None:
    """Check every hyper-parameter by its rule; raises ValueError or TypeError."""
    for name, rule in RULES.items():
        rule(name, getattr(estimator, name))


def resolve(estimator: Any, seen: Moments, n_rows: int) -> Settings:
    """Return the hyper-parameters of an estimator with "auto" resolved.

    ``n_rows`` is the number of rows that "auto" goes by, and ``seen`` the moments of
    all rows.  Raises ValueError if what was given does not go together.
    """
    signal, grey = seen.signal()
    given = {name: _plain(getattr(estimator, name)) for name in RULES}
    values = given | {
        name: value
        for name, value in auto(
            persistent=given["persistent"],
            statistics=given["statistics"],
            n_rows=n_rows,
            signal=signal,
            n_features=len(seen.mean),
            n_components=given["n_components"],
        ).items()
        if given[name] == "auto"
    }
    if given["weight_decay"] != "auto":
        _check_decay(values["learning_rate"], values["weight_decay"])
    if values["average"] is not None and values["average"] >= 1:
        values["average"] = int(values["average"])
    # Which number of rows too large for any data is given makes no difference.
    values["batch_size"] = min(values["batch_size"], max(1, n_rows))
    values["fill_gaps"] = given["handle_missing"] == "sample"
    values["draw_rows"] = grey and values["statistics"] == "states"
    names = {field.name for field in fields(Settings)}
    return Settings(**{name: v for name, v in values.items() if name in names})


def _plain(value: Any) -> Any:
    """Return a number of any type as Python's own."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _check_decay(learning_rate: float, weight_decay: float) -> None:
    """Raise ValueError if a mini-batch would shrink weights to less than nothing."""
    if learning_rate * weight_decay > 1:
        raise ValueError(
            f"weight_decay={weight_decay:g} times learning_rate={learning_rate:g} is "
            f"{learning_rate * weight_decay:g}, and would shrink weights past 0. Use a "
            f"weight_decay of at most {1 / learning_rate:g} or a smaller learning_rate."
        )


# -- what n_jobs and random_state stand for -------------------------------------------


def workers_for(n_jobs: int | None) -> Workers:
    """Return a context with the threads that ``n_jobs`` stands for."""
    if n_jobs is None:
        return Workers(min(blas_threads(), processors()))
    return Workers(effective_n_jobs(int(n_jobs)))


def processors() -> int:
    """Return how many processors this process may use, as in a container."""
    affinity = getattr(os, "sched_getaffinity", lambda _: ())(0)
    return _processors(frozenset(affinity), os.environ.get("LOKY_MAX_CPU_COUNT"))


@functools.cache
def _processors(*_: object) -> int:
    # joblib reads files to find out, which takes longer than a small query.
    return cpu_count()


def root_of(random_state: int | np.random.RandomState | None) -> int:
    """Return 128 random bits, the root of all random numbers of a fit or a query."""
    if isinstance(random_state, Integral):
        return _root_of_seed(int(random_state))
    return _draw_root(check_random_state(random_state))


@functools.lru_cache
def _root_of_seed(random_state: int) -> int:
    # Seeding takes as long as five mini-batches of a small model.
    return _draw_root(np.random.RandomState(random_state))


def _draw_root(random_state: np.random.RandomState) -> int:
    words = random_state.randint(2**32, size=4, dtype=np.uint64)
    return int.from_bytes(words.astype("<u4").tobytes(), "little")
