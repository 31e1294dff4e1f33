"""How well missing entries are filled: ours beside the imputers of scikit-learn.

``python docs/benchmarks/missing.py [SET ...]`` removes 30 % of the entries of all rows
at random, trains on what is left, and scores the probabilities that each contender
fills in for the removed entries of test rows: log-loss, in nats an entry, and Brier
score.  Hyper-parameters, and the clip that keeps the log-loss finite, are chosen by the
log-loss of validation rows.  Results are printed, and kept as JSON lines in
``--results``.  Test rows choose nothing.
"""

import argparse
import itertools
import json
import time
import warnings
from pathlib import Path

import numpy as np
from datasets import load
from sklearn.datasets import load_digits
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from speed import versions

from skrbm import BinaryCDRBM

RESULTS = "missing.jsonl"
SETS = ["mushrooms", "nltcs", "plants", "connect4", "digits"]
CLIPS = [1e-2, 1e-3, 1e-4]


class Probability(LogisticRegression):
    """A logistic regression that predicts probabilities, also of one class only."""

    def fit(self, X, y):
        """Fit, or remember the only value of y."""
        self.only_ = y[0] if (y == y[0]).all() else None
        return self if self.only_ is not None else super().fit(X, y)

    def predict(self, X):
        """Return the probabilities of 1."""
        if self.only_ is not None:
            return np.full(len(X), self.only_)
        return self.predict_proba(X)[:, 1]


# Each contender: its class, options that are given, and a grid to choose from.
OURS = {"handle_missing": "sample", "random_state": 0}
GRID = {"n_components": (64, 256), "n_iter": (20, 60)}
LONGER = {"n_components": (64, 128), "n_iter": (200,), "learning_rate": (0.3,)}
CONTENDERS = {
    "column means": (SimpleImputer, {}, {}),
    "KNNImputer": (KNNImputer, {}, {"n_neighbors": (5, 15, 50, 150)}),
    "IterativeImputer": (IterativeImputer, {"max_iter": 10, "random_state": 0}, {}),
    "IterativeImputer, logistic": (
        IterativeImputer,
        {"estimator": Probability(), "max_iter": 10, "random_state": 0},
        {},
    ),
    "ours, persistent": (BinaryCDRBM, OURS | {"persistent": True}, GRID),
    "ours, CD-1": (BinaryCDRBM, OURS, GRID),
    "ours, CD-1, longer": (BinaryCDRBM, OURS, LONGER),
}


def rows_of(name, n_rows=(2000, 500, 1000)):
    """Return up to so many training, validation and test rows, drawn at random."""
    rng = np.random.default_rng(0)
    if name == "digits":
        X = rng.permutation(load_digits().data > 7).astype(np.float32)
        return np.split(X, [1000, 1297])
    parts = load(name)
    return [
        rng.permutation(parts[k])[:n].astype(np.float32)
        for k, n in zip(("train", "valid", "test"), n_rows, strict=True)
    ]


def with_gaps(X, rng):
    """Return rows of which 30 % of the entries are NaN."""
    return np.where(rng.random(X.shape) < 0.3, np.nan, X)


def filled(model, X):
    """Return rows with the probability of being on in their gaps."""
    if isinstance(model, BinaryCDRBM):
        return model.complete(X, n_gibbs_steps=1000)
    return model.transform(X)


def log_loss(p, x, clip):
    """Return the mean log-loss of probabilities, in nats."""
    p = np.clip(p, clip, 1 - clip)
    return -float(np.log(np.where(x == 1, p, 1 - p)).mean())


def brier(p, x):
    """Return the mean squared error of probabilities."""
    return float(((np.clip(p, 0, 1) - x) ** 2).mean())


def compare(name):
    """Score all contenders on a data set."""
    parts, rng = rows_of(name), np.random.default_rng(1)
    train, valid, test = (with_gaps(X, rng) for X in parts)
    removed_valid, removed_test = np.isnan(valid), np.isnan(test)
    x_valid, x_test = parts[1][removed_valid], parts[2][removed_test]
    for contender, (make, options, grid) in CONTENDERS.items():
        best = {"valid": np.inf}
        for values in itertools.product(*grid.values()):
            setting = dict(zip(grid, values, strict=True))
            model = make(**options, **setting)
            began = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(train)
                p = filled(model, valid)[removed_valid]
            seconds = round(time.perf_counter() - began, 2)
            loss, clip = min((log_loss(p, x_valid, clip), clip) for clip in CLIPS)
            trial = {"valid": round(loss, 4), "clip": clip, "seconds": seconds}
            print("   ", setting, trial, flush=True)
            if loss < best["valid"]:
                best, chosen = trial | setting, model
        p = filled(chosen, test)[removed_test]
        keep(
            set=name,
            contender=contender,
            log_loss=round(log_loss(p, x_test, best["clip"]), 4),
            brier=round(brier(p, x_test), 4),
            **best,
        )


def keep(**record):
    """Print a result, and append it to the file of results."""
    print(json.dumps(record), flush=True)
    with Path(RESULTS).open("a") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="set", help=", ".join(SETS))
    parser.add_argument("--results", default=RESULTS)
    arguments = parser.parse_args()
    RESULTS = arguments.results
    print(versions())
    for name in arguments.sets or SETS:
        compare(name)
