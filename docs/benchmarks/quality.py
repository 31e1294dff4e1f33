"""How good the models are: likelihoods and features, ours and BernoulliRBM's.

``python docs/benchmarks/quality.py PART [PART ...]`` runs the parts named, each in
minutes; results are printed, and kept as JSON lines in ``--results`` so that parts can
be run one by one.  Hyper-parameters of ours are the defaults unless a line says
otherwise; those of BernoulliRBM are chosen on validation rows.  Test rows choose
nothing.
"""

import argparse
import itertools
import json
import time
import warnings
from pathlib import Path

import numpy as np
from datasets import SETS, binarized, load, load_mnist
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    RepeatedStratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from speed import versions

from skrbm import BinaryCDRBM
from skrbm.metrics import log_likelihood, log_partition

RESULTS = "quality.jsonl"
# The grid that features are compared on.
STRENGTHS = [0.1, 1.0, 10.0, 100.0]  # C of the classifier
LEARNING_RATES = [0.03, 0.1, 0.3]  # of either RBM


def keep(part, **record):
    """Print a result, and append it to the file of results."""
    record = {"part": part} | record
    print(json.dumps(record), flush=True)
    with Path(RESULTS).open("a") as file:
        file.write(json.dumps(record) + "\n")


def timed_fit(model, X):
    """Fit and return the seconds that took."""
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X)
    return round(time.perf_counter() - began, 2)


def as_ours(peer, X):
    """Return BernoulliRBM's parameters in an estimator of ours, to be scored alike."""
    rbm = BinaryCDRBM.from_bernoulli_rbm(peer)
    rbm.visible_mean_ = X.mean(axis=0)
    return rbm


def mean_exact(rbm, *parts):
    """Return the exact mean log-likelihood of each set of rows."""
    log_z = log_partition(rbm, method="exact")
    return [round(float(log_likelihood(rbm, X, log_z=log_z).mean()), 3) for X in parts]


def tuned_peer(X, seed=0, n_iters=(10, 30, 100)):
    """Choose BernoulliRBM with 16 hidden units on the validation rows."""
    seconds, best = 0.0, {"valid": -np.inf}
    for lr, n_iter in itertools.product((0.3, 0.1, 0.03, 0.01), n_iters):
        peer = BernoulliRBM(16, learning_rate=lr, n_iter=n_iter, random_state=seed)
        seconds += timed_fit(peer, X["train"].astype(np.float32))
        valid, test = mean_exact(as_ours(peer, X["train"]), X["valid"], X["test"])
        if valid > best["valid"]:
            chosen = {"learning_rate": lr, "n_iter": n_iter}
            best = {"valid": valid, "test": test, "chosen": chosen}
    return best | {"seconds": round(seconds, 1)}


def exact_peer(names=SETS, seeds=(0,)):
    """BernoulliRBM with 16 hidden units, tuned on the validation rows of each set."""
    for name, seed in itertools.product(names, seeds):
        keep("exact_peer", set=name, seed=seed, **tuned_peer(load(name), seed))


def exact_ours(names=SETS, seeds=(0,)):
    """Our defaults with 16 hidden units, contrastive divergence and persistent."""
    for name, seed, persistent in itertools.product(names, seeds, (True, False)):
        X = load(name)
        rbm = BinaryCDRBM(16, persistent=persistent, random_state=seed)
        seconds = timed_fit(rbm, X["train"])
        valid, test = mean_exact(rbm, X["valid"], X["test"])
        keep(
            "exact_ours",
            set=name,
            seed=seed,
            persistent=persistent,
            valid=valid,
            test=test,
            seconds=seconds,
        )


def exact_further():
    """Two further sets, the widest and the longest."""
    exact_ours(("ad",), range(10))
    exact_ours(("msnbc",), range(3))
    exact_peer(("ad",))
    # Over epochs too its search takes fourteen times as long on these 291,326 rows.
    keep("exact_peer", set="msnbc", **tuned_peer(load("msnbc"), n_iters=(10,)))


def exact_few_rows(names=SETS, n_rows=200, seeds=range(3)):
    """The same after training on few rows, with the default n_iter and with 20."""
    for name in names:
        X = load(name)
        X["train"] = X["train"][:n_rows]
        keep("exact_few_rows", set=name, kind="peer", **tuned_peer(X))
        for persistent, n_iter, seed in itertools.product(
            (True, False), ("auto", 20), seeds
        ):
            rbm = BinaryCDRBM(
                16, persistent=persistent, n_iter=n_iter, random_state=seed
            )
            seconds = timed_fit(rbm, X["train"])
            (test,) = mean_exact(rbm, X["test"])
            keep(
                "exact_few_rows",
                set=name,
                kind="persistent" if persistent else "CD-1",
                n_iter=n_iter,
                seed=seed,
                test=test,
                seconds=seconds,
            )


def exact_seeds():
    """The spread over ten seeds; BernoulliRBM at the setting chosen with seed 0."""
    seeds = range(10)
    exact_ours(seeds=seeds)
    chosen = {}
    with Path(RESULTS).open() as file:
        for record in map(json.loads, file):
            if record["part"] == "exact_peer":
                chosen[record["set"]] = record["chosen"]
    for name, seed in itertools.product(chosen, seeds):
        X = load(name)
        peer = BernoulliRBM(16, random_state=seed, **chosen[name])
        seconds = timed_fit(peer, X["train"].astype(np.float32))
        (test,) = mean_exact(as_ours(peer, X["train"]), X["test"])
        keep("exact_seeds_peer", set=name, seed=seed, test=test, seconds=seconds)


def ais(rbm, X, betas=4000):
    """Return the mean log-likelihood by AIS forward and in reverse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        z = log_partition(rbm, X, method="ais", betas=betas, random_state=0)
    mean = -float(rbm.free_energy(X).mean())
    return {
        "test": round(mean - z.value, 2),
        "test_reverse": round(mean - z.reverse, 2),
        "standard_error": round(z.standard_error, 3),
    }


def mnist_density(n_iter=20, seed=0, **options):
    """Binarised MNIST, 500 hidden units, persistent."""
    x_train, _, x_test, _ = load_mnist()
    X, X_test = binarized(x_train), binarized(x_test)
    rbm = BinaryCDRBM(500, persistent=True, n_iter=n_iter, random_state=seed, **options)
    seconds = timed_fit(rbm, X)
    keep(
        "mnist_density",
        n_iter=n_iter,
        seed=seed,
        options=options,
        seconds=seconds,
        **ais(rbm, X_test),
    )


def mnist_density_longer():
    """The documented longer setting."""
    mnist_density(n_iter=60, weight_decay=1e-4)


def mnist_exact():
    """Binarised MNIST, 16 hidden units, exact."""
    x_train, _, x_test, _ = load_mnist()
    X, X_test = binarized(x_train), binarized(x_test)
    rbm = BinaryCDRBM(16, persistent=True, random_state=0)
    seconds = timed_fit(rbm, X)
    keep(
        "mnist_exact",
        n_iter=rbm.n_iter,
        seconds=seconds,
        test=mean_exact(rbm, X_test)[0],
    )


def mnist_race():
    """The time to BernoulliRBM's best test log-likelihood, 500 hidden units.

    It is trained until four epochs in a row are no better than its best.
    """
    x_train, _, x_test, _ = load_mnist()
    X, X_test = binarized(x_train), binarized(x_test)
    best, since_best = (-np.inf, 0.0), 0
    peer, seconds = BernoulliRBM(500, n_iter=1, random_state=0), 0.0
    X32 = X.astype(np.float32)
    for epoch in itertools.count(1):
        # One epoch at a time, going on from the last, in the batches of its fit.
        began = time.perf_counter()
        for start in range(0, len(X32), 10):
            peer.partial_fit(X32[start : start + 10])
        seconds += time.perf_counter() - began
        result = ais(as_ours(peer, X), X_test)
        keep("mnist_race_peer", epoch=epoch, seconds=round(seconds, 1), **result)
        since_best = 0 if result["test"] > best[0] else since_best + 1
        best = max(best, (result["test"], seconds))
        if since_best == 4:
            break
    for n_iter in (1, 2, 3, 5):
        rbm = BinaryCDRBM(500, persistent=True, n_iter=n_iter, random_state=0)
        seconds = timed_fit(rbm, X)
        result = ais(rbm, X_test)
        keep(
            "mnist_race_ours",
            n_iter=n_iter,
            seconds=seconds,
            ratio=round(best[1] / seconds, 1),
            peer_best=best[0],
            **result,
        )
        if min(result["test"], result["test_reverse"]) > best[0]:
            break


def classifier_error(H, y, H_test, y_test, max_iter=300):
    """Return the test error of a logistic regression in per cent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=1.0, max_iter=max_iter).fit(H, y)
    return round(100 * (1 - model.score(H_test, y_test)), 2)


def mnist_features(n_iter=10, seed=0, **options):
    """MNIST as probabilities, 500 hidden units, logistic regression on the features."""
    x_train, y, x_test, y_test = load_mnist()
    X, X_test = (x.astype(np.float32) / 255 for x in (x_train, x_test))
    rbm = BinaryCDRBM(500, n_iter=n_iter, random_state=seed, **options)
    seconds = timed_fit(rbm, X)
    H, H_test = rbm.transform(X), rbm.transform(X_test)
    record = {
        "error_20000": classifier_error(H[:20000], y[:20000], H_test, y_test),
        "error_60000": classifier_error(H, y, H_test, y_test),
    }
    keep(
        "mnist_features",
        n_iter=n_iter,
        seed=seed,
        options=options,
        seconds=seconds,
        activity=round(float(H_test.mean()), 3),
        **record,
    )


def mnist_features_longer(seed=0):
    """The documented longer setting."""
    mnist_features(n_iter=40, seed=seed)


def mnist_features_seeds():
    """Both again, from other seeds."""
    for seed in (1, 2):
        mnist_features(seed=seed)
        mnist_features_longer(seed)


def small_features(names=("digits", "dna", "ocr_letters"), seeds=range(5)):
    """Digits, letters and dna: features against raw input and BernoulliRBM's."""
    digits = load_digits()
    for name, seed in itertools.product(names, seeds):
        if name == "digits":
            X, X_test, y, y_test = train_test_split(
                digits.data / 16,
                digits.target,
                random_state=seed,
                stratify=digits.target,
            )
        else:
            Z = load(name)
            X, y = (
                np.concatenate([Z["train"], Z["valid"]]),
                np.concatenate([Z["y_train"], Z["y_valid"]]),
            )
            X_test, y_test = Z["test"], Z["y_test"]
            if name == "ocr_letters":
                rows = np.random.default_rng(seed).choice(len(X), 4000, replace=False)
                X, y = X[rows], y[rows]
        X, X_test = X.astype(np.float32), X_test.astype(np.float32)
        record = {}
        for kind, rbm in (
            ("ours", BinaryCDRBM(random_state=seed)),
            ("peer", BernoulliRBM(n_iter=20, random_state=seed)),  # ours has 20 or 21
            ("raw", None),
        ):
            classifier = LogisticRegression(max_iter=200)
            grid = {"logisticregression__C": STRENGTHS}
            if rbm is not None:
                grid[f"{type(rbm).__name__.lower()}__learning_rate"] = LEARNING_RATES
            model = make_pipeline(*([rbm] if rbm else []), classifier)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                search = GridSearchCV(model, grid, cv=3, n_jobs=2).fit(X, y)
                record[kind] = round(float(search.score(X_test, y_test)), 4)
        keep("small_features", set=name, seed=seed, **record)


def tables():
    """Small sets of scikit-learn: features against raw columns, both standardised."""
    X, y = load_digits(return_X_y=True)
    sets = {
        "iris": load_iris(return_X_y=True),
        "wine": load_wine(return_X_y=True),
        "breast cancer": load_breast_cancer(return_X_y=True),
        **{f"digits, {n} rows": (X[:n], y[:n]) for n in (100, 300, 600)},
    }
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)
    for name, (X, y) in sets.items():
        record = {}
        for kind, steps in (
            ("raw", []),
            ("ours", [MinMaxScaler(clip=True), BinaryCDRBM(random_state=0)]),
        ):
            model = make_pipeline(*steps, StandardScaler(), LogisticRegression())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scores = cross_val_score(model, X, y, cv=folds)
            record[kind] = round(float(scores.mean()), 4)
            record[f"{kind}_error"] = round(float(scores.std() / 10**0.5), 4)
        keep("tables", set=name, **record)


def all_letters(seeds=range(5)):
    """All letters: the grid of small data, on the published validation rows."""
    Z = load("ocr_letters")
    X, X_valid, X_test = (Z[k].astype(np.float32) for k in ("train", "valid", "test"))

    def best_classifier(transform):
        """Return validation accuracy, C and test accuracy of the best of the grid."""
        H, H_valid, H_test = transform(X), transform(X_valid), transform(X_test)
        scores = []
        for C in STRENGTHS:
            classifier = LogisticRegression(C=C, max_iter=200)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                classifier.fit(H, Z["y_train"])
            valid = classifier.score(H_valid, Z["y_valid"])
            scores.append((valid, C, classifier.score(H_test, Z["y_test"])))
        return max(scores)

    valid, C, test = best_classifier(lambda rows: rows)
    keep("all_letters", kind="raw", valid=valid, C=C, test=test)
    for seed, make in itertools.product(seeds, (BinaryCDRBM, BernoulliRBM)):
        best = (-np.inf,)
        for lr in LEARNING_RATES:
            rbm = make(n_iter=20, learning_rate=lr, random_state=seed)
            timed_fit(rbm, X)
            best = max(best, (*best_classifier(rbm.transform), lr))
        valid, C, test, lr = best
        keep(
            "all_letters",
            kind=make.__name__,
            seed=seed,
            valid=valid,
            C=C,
            learning_rate=lr,
            test=test,
        )


PARTS = {
    f.__name__: f
    for f in (
        exact_peer,
        exact_ours,
        exact_further,
        exact_few_rows,
        exact_seeds,
        mnist_exact,
        mnist_density,
        mnist_density_longer,
        mnist_race,
        mnist_features,
        mnist_features_longer,
        mnist_features_seeds,
        small_features,
        tables,
        all_letters,
    )
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--results", default=RESULTS)
    arguments = parser.parse_args()
    RESULTS = arguments.results
    print(versions())
    for part in arguments.parts or PARTS:
        PARTS[part]()
