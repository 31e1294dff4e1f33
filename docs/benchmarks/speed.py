"""Speed of training, features and scores, as ratios.

Run ``python docs/benchmarks/speed.py`` for all of it (a quarter of an hour), or name
the parts: ``python docs/benchmarks/speed.py floor peer``.  Contenders take turns in
one process; every ratio is the median over the repetitions of the ratio within a
repetition, with its minimum and maximum.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import scipy
import sklearn
from scipy import sparse
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_limits

import skrbm
from skrbm import BinaryCDRBM
from skrbm._core.threads import blas_threads
from skrbm.metrics import log_partition

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


def report(what: str, above: np.ndarray, below: np.ndarray, target: str) -> None:
    """Print a ratio with its spread."""
    ratio = above / below
    print(
        f"{what:<62} {np.median(ratio):6.2f}  [{ratio.min():.2f} .. {ratio.max():.2f}]"
        f"  {target}",
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


def bare_products(batch_size, n_rows=N_ROWS, f=N_FEATURES, c=N_COMPONENTS):
    """Return a measurement of the five products of a CD-1 epoch, and nothing else."""
    rng = np.random.default_rng(0)
    W = rng.random((f, c), dtype=np.float32)
    D = np.empty_like(W)
    sizes = [batch_size] * (n_rows // batch_size)
    if n_rows % batch_size:
        sizes.append(n_rows % batch_size)
    layers = {
        n: [rng.random((n, k), dtype=np.float32) for k in (f, c, f, c)]
        for n in set(sizes)
    }

    def epoch() -> None:
        for n in sizes:
            v, h, V, H = layers[n]
            np.matmul(v, W, out=H)
            np.matmul(h, W.T, out=V)
            np.matmul(v, W, out=H)
            np.matmul(v.T, h, out=D)
            np.matmul(v.T, h, out=D)

    return lambda: timed(epoch)


def floor() -> None:
    """Compare an epoch with its bare matrix products, on one thread."""
    X = binary(N_ROWS)
    with threadpool_limits(1):
        for batch_size, target in ((100, 1.10), (256, 1.10), (10, 1.25)):
            t = interleaved(
                {"ours": ours(X, batch_size), "floor": bare_products(batch_size)}
            )
            what = f"epoch / five products, batches of {batch_size}, one thread"
            report(what, t["ours"], t["floor"], f"at most {target}")


def peer() -> None:
    """Compare a fit with BernoulliRBM's, on all cores."""
    for dtype, targets in (
        (np.float64, (3, 3, 3, 3)),
        (np.float32, (2, 1.5, 1.5, 1.5)),
    ):
        X = binary(N_ROWS, dtype=dtype)
        for batch_size, target in zip((10, 32, 100, 256), targets, strict=True):
            t = interleaved(
                {"ours": our_fit(X, batch_size), "peer": peer_fit(X, batch_size)}
            )
            what = f"BernoulliRBM / ours, {dtype.__name__}, batches of {batch_size}"
            report(what, t["peer"], t["ours"], f"at least {target}")
    X = binary(1797, 64)
    for n_iter in (1, 10):
        t = interleaved(
            {
                "ours": our_fit(X, 10, 64, n_iter=n_iter),
                "peer": peer_fit(X, 10, 64, n_iter=n_iter),
            },
            MANY_REPETITIONS,
        )
        report(
            f"the same, 1797 x 64, 64 units, 41 repetitions, {n_iter} epochs",
            t["peer"],
            t["ours"],
            "at least 1.3",
        )


def threads() -> None:
    """Compare the default number of threads with one."""
    # Among these sizes those from which on a mini-batch is cut, or cut otherwise.
    sizes = 1, 10, 16, 17, 20, 32, 48, 94, 100, 192, 256, 512, 1024, 4096
    for batch_size in sizes:
        X = binary(N_ROWS if batch_size > 4 else 2000)
        t = interleaved({str(n): ours(X, batch_size, n_jobs=n) for n in (1, None)})
        target = "at least 1.7" if batch_size == 256 else "at least 0.97"
        what = f"one thread / default, batches of {batch_size}"
        report(what, t["1"], t["None"], target)
    X = binary(N_ROWS, 64)
    for batch_size in (10, 256, 2048, 4096):
        t = interleaved({str(n): ours(X, batch_size, 64, n_jobs=n) for n in (1, None)})
        what = f"one thread / default, 64 x 64, batches of {batch_size}"
        report(what, t["1"], t["None"], "at least 0.97")


def busy() -> None:
    """Compare the default number of threads with one while another process works."""
    X = binary(N_ROWS)
    command = [sys.executable, "-c", "while True: pass"]
    for batch_size in (10, 20, 32, 48, 100, 256):
        with subprocess.Popen(command) as other:  # noqa: S603  (our own)
            t = interleaved({str(n): ours(X, batch_size, n_jobs=n) for n in (1, None)})
            other.kill()
        what = f"one thread / default, a busy processor, batches of {batch_size}"
        report(what, t["1"], t["None"], "")


def transform() -> None:
    """Compare features with their one product, and with BernoulliRBM's."""
    X = binary(N_ROWS)
    X64 = X.astype(np.float64)
    rbm = BinaryCDRBM(N_COMPONENTS, n_iter=0, random_state=0).fit(X)
    other = BernoulliRBM(N_COMPONENTS, n_iter=0, random_state=0).fit(X64)
    W = np.ascontiguousarray(rbm.components_.T)
    contenders = {
        "ours": lambda: timed(lambda: rbm.transform(X)),
        "product": lambda: timed(lambda: X @ W),
        "ours64": lambda: timed(lambda: rbm.transform(X64)),
        "peer64": lambda: timed(lambda: other.transform(X64)),
    }
    with threadpool_limits(1):
        t = interleaved(contenders)
    report(
        "transform / its product, one thread", t["ours"], t["product"], "at most 1.15"
    )
    report(
        "BernoulliRBM / ours, float64, one thread",
        t["peer64"],
        t["ours64"],
        "at least 2",
    )
    t = interleaved(contenders)
    report("transform / its product, float32", t["ours"], t["product"], "at most 1.15")
    report(
        "BernoulliRBM's transform / ours, float64",
        t["peer64"],
        t["ours64"],
        "at least 2",
    )


def queries() -> None:
    """Compare queries on the default number of threads with those on one."""
    for n_rows, f, c in ((1797, 64, 64), (10_000, 180, 100), (2000, 784, 500)):
        X = binary(n_rows, f)
        rbms = {
            str(n): BinaryCDRBM(c, n_iter=1, random_state=0, n_jobs=n).fit(X)
            for n in (1, None)
        }
        for query, call in (
            ("transform", lambda rbm, X=X: rbm.transform(X)),
            ("score_samples", lambda rbm, X=X: rbm.score_samples(X)),
            ("sample", lambda rbm: rbm.sample(1000, n_gibbs_steps=20)),
            (
                "log_partition",
                lambda rbm: log_partition(
                    rbm,
                    method="ais",
                    betas=100,
                    n_gibbs_steps=20,
                    tolerance=1e9,
                    random_state=0,
                    n_jobs=rbm.n_jobs,
                ),
            ),
        ):
            t = interleaved(
                {
                    name: lambda rbm=rbm, call=call: timed(lambda: call(rbm))
                    for name, rbm in rbms.items()
                }
            )
            what = f"{query} of {n_rows} x {f}, {c} units, one thread / default"
            report(what, t["1"], t["None"], "at least 0.97")


def score() -> None:
    """Compare exact scores with one logarithm for each term."""
    X = binary(2000)
    rbm = BinaryCDRBM(N_COMPONENTS, n_iter=1, random_state=0).fit(X)
    x = np.random.default_rng(0).random(1 << 15, dtype=np.float32) + 0.5
    y = np.empty_like(x)
    n_blocks = 2000 * N_FEATURES * N_COMPONENTS // len(x)

    def logarithms() -> None:
        for _ in range(n_blocks):
            np.log(x, out=y)

    one = BinaryCDRBM(**rbm.get_params() | {"n_jobs": 1}).fit(X)
    t = interleaved(
        {
            "all": lambda: timed(lambda: rbm.score_samples(X)),
            "one": lambda: timed(lambda: one.score_samples(X)),
            "log": lambda: timed(logarithms),
        }
    )
    what = "score_samples of 2000 rows / bare logarithms, one thread"
    report(what, t["one"], t["log"], "at most 1.5")
    report("the same, default threads", t["all"], t["log"], "")


def wide_sparse() -> None:
    """Compare training on wide sparse rows with its one dense product."""
    shape, n_components, batch_size = (5000, 20_000), 128, 100
    X = sparse.random_array(
        shape,
        density=0.002,
        format="csr",
        rng=np.random.default_rng(0),
        dtype=np.float32,
    )
    X.data[...] = 1
    h = np.random.default_rng(0).random((batch_size, n_components), dtype=np.float32)
    W = np.random.default_rng(0).random((shape[1], n_components), dtype=np.float32)
    V = np.empty((batch_size, shape[1]), np.float32)

    def products() -> None:
        for _ in range(shape[0] // batch_size):
            np.matmul(h, W.T, out=V)

    X64 = X.astype(np.float64)
    t = interleaved(
        {
            "ours": ours(X, batch_size, n_components),
            "product": lambda: timed(products),
            "fit": our_fit(X, batch_size, n_components),
            "peer": peer_fit(X, batch_size, n_components),
            "fit64": our_fit(X64, batch_size, n_components),
            "peer64": peer_fit(X64, batch_size, n_components),
        }
    )
    print("5000 x 20000 at 0.2 %, 128 units, batches of 100:")
    report("sparse epoch / its dense product", t["ours"], t["product"], "at most 2.0")
    report("BernoulliRBM / ours, sparse float32", t["peer"], t["fit"], "at least 4")
    report("BernoulliRBM / ours, sparse float64", t["peer64"], t["fit64"], "at least 6")


def growth() -> None:
    """Show that cost grows with rows, and as the products do with the model."""
    X = (np.random.default_rng(0).random((10**6, 64), dtype=np.float32) < 0.3).view(
        np.uint8
    )
    small = X[: 10**4]
    t = interleaved({"1e4": ours(small, 100, 64), "1e6": ours(X, 100, 64)})
    what = "seconds a row, 10^6 rows / 10^4 rows, 64 x 64, batches of 100"
    report(what, t["1e6"] / 100, t["1e4"], "flat: 1")
    for factor in (1, 2, 4):
        f, c = 392 * factor, 250 * factor
        X = binary(4000, f)
        t = interleaved(
            {"ours": ours(X, 100, c), "floor": bare_products(100, 4000, f, c)}
        )
        report(
            f"epoch / five products, {f} x {c}, default threads",
            t["ours"],
            t["floor"],
            "",
        )


def options() -> None:
    """Compare an epoch with an option to one without."""
    X = binary(N_ROWS)
    plain = dict(
        statistics="probabilities",
        average=None,
        weight_decay=0.0,
        sparsity_cost=0.0,
        learning_rate_schedule="constant",
    )
    for batch_size in (10, 100):
        variants = {
            "plain": {},
            "momentum": {"momentum": 0.5},
            "weight decay": {"weight_decay": 1e-4},
            "sparsity": {"sparsity_cost": 0.1},
            "average": {"average": 0.002},
            "average of epochs": {"average": 3},
            "linear schedule": {"learning_rate_schedule": "linear"},
            "cosine schedule": {"learning_rate_schedule": "cosine"},
            "sampled statistics": {"statistics": "states"},
            "a threshold": {"binarize": 0.5},
            "persistent": {"persistent": True, "n_chains": batch_size},
            "persistent, 50 chains": {"persistent": True, "n_chains": 50},
        }
        t = interleaved(
            {
                name: ours(X, batch_size, **plain | extra)
                for name, extra in variants.items()
            }
        )
        for name in list(variants)[1:]:
            report(
                f"{name} / plain CD-1, batches of {batch_size}",
                t[name],
                t["plain"],
                "at most 1.10",
            )


def history() -> None:
    """Show what a fit of many epochs takes beyond them: the records above all."""
    wide = sparse.random_array(
        (5000, 20_000), density=0.002, format="csr", rng=np.random.default_rng(0)
    )
    for X, n_components, n_iter in (
        (binary(N_ROWS), N_COMPONENTS, 10),
        (binary(1797, 64), 64, 100),
        (binary(300, N_FEATURES), N_COMPONENTS, 40),
        (wide != 0, 128, 10),
    ):
        rbm = BinaryCDRBM(n_components, n_iter=n_iter, random_state=0)
        pairs = [
            (timed(lambda rbm=rbm, X=X: rbm.fit(X)), rbm.history_["seconds"].sum())
            for _ in range(REPETITIONS)
        ]
        whole, epochs = np.array(pairs).T
        report(
            f"fit of {n_iter} epochs / its epochs, {X.shape[0]} x {X.shape[1]}",
            whole,
            epochs,
            "at most 1.05",
        )


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
    report("grid search, ours / with BernoulliRBM", t["ours"], t["peer"], "at most 0.7")


PARTS = {
    f.__name__: f
    for f in (
        floor,
        peer,
        threads,
        busy,
        transform,
        queries,
        score,
        wide_sparse,
        growth,
        options,
        history,
        search,
    )
}


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
