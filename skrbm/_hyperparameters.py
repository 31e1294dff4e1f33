"""The hyper-parameters of `BinaryCDRBM`: what is allowed, and what "auto" means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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
)

RULES: dict[str, Rule] = {
    "n_components": integer(1),
    "learning_rate": one_of("auto") | real("(0, inf)"),
    "batch_size": one_of("auto") | integer(1),
    "n_iter": one_of("auto") | integer(0),
    "n_gibbs_steps": integer(1),
    "persistent": boolean,
    "n_chains": one_of("auto") | integer(1),
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
    "binarize": none | real("(-inf, inf)"),
    "n_jobs": none | n_threads,
    "verbose": boolean | integer(0),
    "random_state": seed,
}

# Below this many rows an epoch has too few updates for larger batches.
FEW_ROWS = 5000
# Where the data are a weaker signal than this (`TrainingState.signal`), the gradient
# alone leaves training on the plateau where all hidden units are alike; noise does not.
WEAK_SIGNAL = 9.5


def auto(
    *,
    persistent: bool,
    statistics: str,
    n_rows: int,
    signal: float,
    n_components: int,
) -> dict[str, Any]:
    """Return what "auto" stands for; docs/benchmarks has what it was chosen by."""
    n_components = int(n_components)  # of any integer type
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
    }
    if persistent:
        # Chains have to mix as fast as the model moves.
        return rule | {
            "learning_rate": min(0.25, (2 if few else 1) * step),
            "learning_rate_schedule": "linear",
            "weight_decay": 0.0,
            "sparsity_cost": 0.01,
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
    }


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check every hyper-parameter by its rule; raises ValueError or TypeError."""
    for name, rule in RULES.items():
        rule(name, parameters[name])


def hidden_start(parameters: Mapping[str, Any]) -> float:
    """Return where the hidden intercepts start."""
    value = parameters["hidden_intercept_init"]
    if value == "auto":
        # Sparse features want a lower start than densities do.
        return -1.0 if parameters["persistent"] else -2.0
    return float(value)


def without_auto(
    parameters: Mapping[str, Any], *, n_rows: int, signal: float
) -> dict[str, Any]:
    """Return the hyper-parameters with "auto" resolved, but for `hidden_start`'s.

    Raises ValueError if what came with it does not go together.
    """
    rule = auto(
        persistent=bool(parameters["persistent"]),
        statistics=parameters["statistics"],
        n_rows=n_rows,
        signal=signal,
        n_components=parameters["n_components"],
    )
    resolved = {
        name: rule[name] if name in rule and value == "auto" else value
        for name, value in parameters.items()
    }
    if parameters["weight_decay"] != "auto":
        _check_decay(resolved["learning_rate"], resolved["weight_decay"])
    return resolved


def _check_decay(learning_rate: float, weight_decay: float) -> None:
    """Raise ValueError if a mini-batch would shrink weights to less than nothing."""
    if learning_rate * weight_decay > 1:
        raise ValueError(
            f"weight_decay={weight_decay!r} times learning_rate={learning_rate:g} is "
            f"{learning_rate * weight_decay:g}, and would shrink weights past 0. Use a "
            f"weight_decay of at most {1 / learning_rate:g} or a smaller learning_rate."
        )


def training_settings(p: Mapping[str, Any], *, grey: bool) -> Settings:
    """Return what epochs need of hyper-parameters that `without_auto` returned."""
    average = p["average"]
    if average is not None:
        average = int(average) if average >= 1 else float(average)
    return Settings(
        learning_rate=float(p["learning_rate"]),
        batch_size=int(p["batch_size"]),
        schedule=p["learning_rate_schedule"],
        n_gibbs_steps=int(p["n_gibbs_steps"]),
        n_chains=int(p["n_chains"]) if p["persistent"] else None,
        sample_statistics=p["statistics"] == "states",
        sample_rows=p["statistics"] == "states" and grey,
        centered=bool(p["centered"]),
        momentum=float(p["momentum"]),
        weight_decay=float(p["weight_decay"]),
        sparsity_target=float(p["sparsity_target"]),
        sparsity_cost=float(p["sparsity_cost"]),
        average=average,
        shuffle=bool(p["shuffle"]),
        binarize=p["binarize"],
    )
