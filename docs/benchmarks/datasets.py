"""The public data sets of the benchmarks; none of them comes with the package.

They are read from the directory named by the environment variable SKRBM_DATA, or from
``../shared/data`` beside the checkout.  To build that directory:

- ``NAME.npz`` with bit-packed ``train``, ``valid``, ``test`` (`numpy.packbits` along
  axis 1), ``n_features`` and, where there are labels, ``y_train``, ``y_valid``,
  ``y_test``, from the usual splits: connect4, mushrooms, dna and ocr_letters of
  Larochelle & Murray (2011), nltcs, plants, msweb, cwebkb, ad and msnbc of Lowd &
  Davis (2010) and Van Haaren & Davis (2012); they are collected in the GitHub
  repositories UCLA-StarAI/Density-Estimation-Datasets and nicoladimauro/dcsn.
- ``mnist.npz`` with ``x_train``, ``y_train``, ``x_test``, ``y_test`` (LeCun et al.
  1998), uint8.
"""

import os
from pathlib import Path

import numpy as np

SETS = [
    "connect4",
    "mushrooms",
    "dna",
    "ocr_letters",
    "nltcs",
    "plants",
    "msweb",
    "cwebkb",
]


def path(name):
    """Return where a data set is; exit with what to do if it is nowhere."""
    root = Path(__file__).resolve().parents[2]
    for place in (os.environ.get("SKRBM_DATA"), root.parent / "shared" / "data"):
        if place and (file := Path(place) / f"{name}.npz").exists():
            return file
    raise SystemExit(f"{name}.npz is not there.\n\n{__doc__}")


def load(name):
    """Return the parts of a binary data set as a dict of uint8 arrays."""
    with np.load(path(name)) as z:
        n = int(z["n_features"])
        rows = {
            k: np.unpackbits(z[k], axis=1, count=n) for k in ("train", "valid", "test")
        }
        return rows | {k: z[k] for k in z.files if k.startswith("y_")}


def load_mnist():
    """Return MNIST as x_train, y_train, x_test, y_test, with 784 columns of uint8."""
    with np.load(path("mnist")) as z:
        parts = {k: z[k] for k in z.files}
    return tuple(
        parts[k].reshape(len(parts[k]), -1) if k.startswith("x") else parts[k].ravel()
        for k in ("x_train", "y_train", "x_test", "y_test")
    )


def binarized(x):
    """Return pixels turned on with the probability of their grey value, by rng(0)."""
    return (np.random.default_rng(0).random(x.shape) < x / 255).astype(np.uint8)
