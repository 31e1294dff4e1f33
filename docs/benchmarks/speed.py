"""Speed of training, features and scores, as ratios.

Run ``python docs/benchmarks/speed.py`` for all of it (some minutes), or name the
parts: ``python docs/benchmarks/speed.py training search``.  Contenders take turns in
one process; every ratio is the median over the repetitions of the ratio within a
repetition, with its minimum and maximum.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from collections.abc import Callable

import numpy as np
import scipy
import sklearn
from scipy import sparse
from sklearn.neural_network import BernoulliRBM

import skrbm
from skrbm import BinaryCDRBM
from skrbm._core.threads import blas_threads

N_ROWS, N_FEATURES, N_COMPONENTS = 10_000, 784, 500
REPETITIONS = 7
MANY_REPETITIONS = 41  # of what takes some ten milliseconds
PAUSE = 0.1  # seconds


def binary(n_rows, n_features=N_FEATURES, dtype=np.float32, seed=0):
    """Return rows of zeros and ones in which columns depend on each other."""
    rng = np.random.default_rng(seed)
    prototypes = rng.random((20, n_features), dtype=np.float32) ** 2
    chosen = prototypes[rng.integers(20, size=n_rows)]
    return (rng.random(chosen.shape, dtype=np.float32) < chosen).astype(dtype)


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def interleaved(
    contenders: dict[str, Callable[[], float]], repetitions: int = REPETITIONS
) -> dict[str, np.ndarray]:
    """Return the seconds of every contender, one warm-up round apart."""
    seconds = {name: [] for name in contenders}
    for repetition in range(repetitions + 1):
        for name, measure in contenders.items():
            # Threads of BLAS spin on after a product, at the cost of what comes next.
            time.sleep(PAUSE)
            value = measure()
            if repetition:
                seconds[name].append(value)
    return {name: np.array(values) for name, values in seconds.items()}


def report(what: str, above: np.ndarray, below: np.ndarray) -> None:
    """Print a ratio with its spread."""
    ratio = above / below
    print(
        f"{what:<62} {np.median(ratio):6.2f}  [{ratio.min():.2f} .. {ratio.max():.2f}]",
        flush=True,
    )


def ours(X, batch_size, n_components=N_COMPONENTS, **options) -> Callable[[], float]:
    """Return a measurement of one training epoch of ours."""
    rbm = BinaryCDRBM(
        n_components, batch_size=batch_size, n_iter=1, random_state=0, **options
    )
    return lambda: float(rbm.fit(X).history_["seconds"][0])


def our_fit(X, batch_size, n_components=N_COMPONENTS, n_iter=1) -> Callable[[], float]:
    """Return a measurement of a whole fit of ours."""
    rbm = BinaryCDRBM(
        n_components, batch_size=batch_size, n_iter=n_iter, random_state=0
    )
    return lambda: timed(lambda: rbm.fit(X))


def peer_fit(X, batch_size, n_components=N_COMPONENTS, n_iter=1) -> Callable[[], float]:
    """Return a measurement of a whole fit of BernoulliRBM."""
    rbm = BernoulliRBM(
        n_components, batch_size=batch_size, n_iter=n_iter, random_state=0
    )
    return lambda: timed(lambda: rbm.fit(X))


def training() -> None:
    """Compare fits with BernoulliRBM's, and one thread with the default."""
    for dtype in (np.float32, np.float64):
        X = binary(N_ROWS, dtype=dtype)
        for batch_size in (10, 100, 256):
            t = interleaved(
                {"ours": our_fit(X, batch_size), "peer": peer_fit(X, batch_size)}
            )
            what = f"BernoulliRBM / ours, {np.dtype(dtype)}, batches of {batch_size}"
            report(what, t["peer"], t["ours"])
    X = binary(N_ROWS)
    for batch_size in (20, 100, 256):
        t = interleaved(
            {"one": ours(X, batch_size, n_jobs=1), "all": ours(X, batch_size)}
        )
        report(f"one thread / default, batches of {batch_size}", t["one"], t["all"])
    X = binary(1797, 64)
    t = interleaved(
        {"ours": our_fit(X, 10, 64, 10), "peer": peer_fit(X, 10, 64, 10)},
        MANY_REPETITIONS,
    )
    report("BernoulliRBM / ours, 1797 x 64, 64 units", t["peer"], t["ours"])


def features() -> None:
    """Compare transform with BernoulliRBM's."""
    for dtype in (np.float32, np.float64):
        X = binary(N_ROWS, dtype=dtype)
        rbm = BinaryCDRBM(N_COMPONENTS, n_iter=1, random_state=0).fit(X[:1000])
        peer = BernoulliRBM(N_COMPONENTS, n_iter=1, random_state=0).fit(X[:1000])
        t = interleaved(
            {
                "ours": lambda rbm=rbm, X=X: timed(lambda: rbm.transform(X)),
                "peer": lambda peer=peer, X=X: timed(lambda: peer.transform(X)),
            }
        )
        what = f"BernoulliRBM's transform / ours, {np.dtype(dtype)}"
        report(what, t["peer"], t["ours"])


def wide_sparse() -> None:
    """Compare fits on wide sparse rows with BernoulliRBM's."""
    X = sparse.random_array(
        (5000, 20_000),
        density=0.002,
        format="csr",
        rng=np.random.default_rng(0),
        dtype=np.float32,
    )
    X.data[...] = 1
    t = interleaved({"ours": our_fit(X, 100, 128), "peer": peer_fit(X, 100, 128)})
    what = "BernoulliRBM / ours, sparse 5000 x 20000 at 0.2 %, 128 units"
    report(what, t["peer"], t["ours"])


def options() -> None:
    """Compare an epoch with an option to one without."""
    X = binary(N_ROWS)
    for batch_size in (10, 100):
        variants = {
            "plain": {},
            "momentum": {"momentum": 0.5},
            "sampled statistics": {"statistics": "states"},
            "persistent": {"persistent": True},
        }
        t = interleaved(
            {name: ours(X, batch_size, **extra) for name, extra in variants.items()}
        )
        for name in list(variants)[1:]:
            what = f"{name} / CD-1, batches of {batch_size}"
            report(what, t[name], t["plain"])
    for n_features, n_components in ((64, 16), (784, 300)):
        X = binary(2000, n_features)
        t = interleaved(
            {
                n: ours(X, 10, n_components, persistent=True, n_temperatures=n)
                for n in (1, 5)
            }
        )
        what = f"five temperatures / one, {n_features} x {n_components}"
        report(what, t[5], t[1])


def search() -> None:
    """Compare a whole grid search over features for a classifier."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    X, y = load_digits(return_X_y=True)
    X /= 16

    def whole(rbm: object) -> Callable[[], float]:
        name = type(rbm).__name__.lower()
        grid = {
            f"{name}__learning_rate": [0.03, 0.1, 0.3],
            f"{name}__n_components": [64, 128, 256],
        }
        pipe = make_pipeline(rbm, LogisticRegression(max_iter=100))
        return lambda: timed(lambda: GridSearchCV(pipe, grid, cv=5, n_jobs=2).fit(X, y))

    settings = {"n_iter": 10, "batch_size": 10, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        t = interleaved(
            {
                "ours": whole(BinaryCDRBM(**settings)),
                "peer": whole(BernoulliRBM(**settings)),
            }
        )
    report("a grid search on digits, ours / with BernoulliRBM", t["ours"], t["peer"])


PARTS = {f.__name__: f for f in (training, features, wide_sparse, options, search)}


def versions() -> str:
    """Return the versions of what is measured, and what it may run on."""
    return (
        f"skrbm {skrbm.__version__}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} processors, "
        f"{blas_threads()} threads of BLAS"
    )


def run_parts(description: str, header: str, parts: dict[str, Callable]) -> None:
    """Run the parts named on the command line, all of them if none is."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(parts))
    names = parser.parse_args().parts or list(parts)
    print(
        f"{versions()}; {header}{N_ROWS} x {N_FEATURES}, {N_COMPONENTS} units and "
        f"{REPETITIONS} repetitions unless said otherwise"
    )
    for name in names:
        parts[name]()


if __name__ == "__main__":
    run_parts(__doc__, "", PARTS)
