"""Memory that training takes beyond its data, by the kernel's account (Linux).

``python docs/benchmarks/memory.py`` prints the largest growth of anonymous memory
during a call: a fit on 60,000 x 784 bytes, ours and BernoulliRBM's, and fits, features
and scores on a memory map of 4 GB, which lies in the page cache and not in the process.
"""

import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.neural_network import BernoulliRBM
from speed import versions

from skrbm import BinaryCDRBM


def anonymous():
    """Return the megabytes of the process that no file backs."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def growth(function):
    """Return the largest growth of anonymous memory during a call, in megabytes."""
    before, largest, done = anonymous(), 0.0, threading.Event()

    def watch():
        nonlocal largest
        while not done.is_set():
            largest = max(largest, anonymous() - before)
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    function()
    done.set()
    watcher.join()
    return largest


def main():
    """Print all figures."""
    warnings.simplefilter("ignore")
    print(versions())
    BinaryCDRBM(500, n_iter=1).fit(np.eye(784, dtype=np.uint8))  # load libraries
    X = (np.random.default_rng(0).integers(0, 256, (60_000, 784)) < 50).astype(np.uint8)
    ours = growth(lambda: BinaryCDRBM(500, n_iter=1, random_state=0).fit(X))
    print(f"fit on 60,000 x 784 bytes: {ours:.0f} MB (at most 40)", flush=True)
    peer = BernoulliRBM(500, n_iter=1, batch_size=100, random_state=0)
    print(f"BernoulliRBM: {growth(lambda: peer.fit(X)):.0f} MB", flush=True)
    with tempfile.NamedTemporaryFile() as file:
        X = np.memmap(file.name, np.uint8, "w+", shape=(5_480_000, 784))
        X[::1000] = 1
        rbm = BinaryCDRBM(16, n_iter=1, batch_size=256, random_state=0)
        mapped = growth(lambda: rbm.fit(X))
        print(f"fit on a memory map of 4 GB: {mapped:.0f} MB (at most 300)", flush=True)
        stopping = clone(rbm).set_params(early_stopping=True)
        held_out = growth(lambda: stopping.fit(X))
        print(f"the same, early stopping: {held_out:.0f} MB (at most 300)", flush=True)
        scores = growth(lambda: rbm.score_samples(X[: 10**6]))
        print(f"scores of 10^6 rows, 8 MB of them: {scores:.0f} MB", flush=True)
        with tempfile.NamedTemporaryFile() as place:
            H = np.memmap(place.name, np.float32, "w+", shape=(10**6, 16))

            def write():
                for start in range(0, len(H), 10_000):
                    H[start : start + 10_000] = rbm.transform(X[start : start + 10_000])

            written = growth(write)
        print(f"features of 10^6 rows to a memory map, in chunks: {written:.0f} MB")


if __name__ == "__main__":
    main()
