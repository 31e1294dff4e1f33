"""
=====================================
Train on more rows than fit in memory
=====================================

Some data do not fit into memory, and some arrive day by day.  This example trains a
restricted Boltzmann machine (RBM) on such data in two ways: on one file after the other
with ``partial_fit``, and on a memory map with ``fit``.  Both are scored on test rows.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skrbm import BinaryCDRBM

# %%
# A folder of files
# -----------------
# We make 40 files, as if one came each day.  Each has 2000 rows: digits that are moved
# by up to one pixel, with one pixel in a hundred wrong.  Zeros and ones fit into
# ``uint8``, one byte each.  The test rows are made from other digits.

X, _ = load_digits(return_X_y=True)
known, unknown = train_test_split(X > 7, test_size=300, random_state=0)
rng = np.random.default_rng(0)


def moved_and_noisy(digits, n_rows):
    """Return so many rows, each made from one of the digits."""
    rows = np.empty((n_rows, 64), np.uint8)
    for row, digit in zip(rows, rng.choice(digits, n_rows), strict=True):
        moved = np.roll(digit.reshape(8, 8), rng.integers(-1, 2, 2), axis=(0, 1))
        row[:] = moved.ravel() ^ (rng.random(64) < 0.01)
    return rows


temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
files = [folder / f"day{day:02}.npy" for day in range(40)]
for file in files:
    np.save(file, moved_and_noisy(known, 2000))
X_test = moved_and_noisy(unknown, 1000)

# %%
# One file after the other
# ------------------------
# ``partial_fit`` trains once on the rows that it gets, and goes on from where it was.
# Only one file is in memory at a time.  After each file we score the test rows by
# ``score``, the pseudo-log-likelihood: how well each pixel can be told from the others,
# in nats.  Higher is better.


def train(rbm, n_passes=1):
    """Train on one file after the other, and return the score after each."""
    scores = []
    for file in n_passes * files:
        rbm.partial_fit(np.load(file))
        scores.append(rbm.score(X_test))
    return scores


one_pass = train(BinaryCDRBM(64, random_state=0))
print(f"partial_fit, each row once: {one_pass[-1]:.2f} nats")

# %%
# Several passes
# --------------
# If you keep the files, you can go through them again.  Then set ``batch_size``,
# ``learning_rate`` and ``weight_decay`` yourself.  Their "auto" values follow the
# number of rows seen so far, and rows that come again would count again.  The values
# here are those that "auto" takes for 80,000 rows.

five_passes = train(
    BinaryCDRBM(
        64,
        batch_size=20,
        learning_rate=0.25,
        weight_decay=1.25e-4,
        random_state=0,
    ),
    n_passes=5,
)
print(f"partial_fit, five passes: {five_passes[-1]:.2f} nats")

# %%
# Sparse rows
# -----------
# Rows that are mostly zeros can stay sparse on the way, in CSR format.  Training comes
# to the same scores.

from_sparse = BinaryCDRBM(64, random_state=0)
from_dense = BinaryCDRBM(64, random_state=0)
for file in files[:5]:
    chunk = np.load(file)
    from_dense.partial_fit(chunk)
    from_sparse.partial_fit(sparse.csr_array(chunk))
print(
    f"five days, sparse: {from_sparse.score(X_test):.2f} nats, "
    f"dense: {from_dense.score(X_test):.2f} nats"
)

# %%
# All rows from a memory map
# --------------------------
# Rows in one large file need no ``partial_fit``.  Open the file as a memory map:
# ``fit`` converts only the rows of the mini-batch in hand, and the others stay in the
# file.  In each epoch (pass over the rows) it visits the rows of all days in a new
# order.

everything = folder / "all.npy"
rows = np.lib.format.open_memmap(everything, "w+", np.uint8, (80_000, 64))
for day, file in enumerate(files):
    rows[2000 * day : 2000 * (day + 1)] = np.load(file)
rows.flush()

rows = np.load(everything, mmap_mode="r")
at_once = {}
for n_iter in (1, 5, 20):
    rbm = BinaryCDRBM(64, n_iter=n_iter, random_state=0).fit(rows)
    at_once[n_iter] = rbm.score(X_test)
    print(f"fit, n_iter={n_iter}: {at_once[n_iter]:.2f} nats")

# %%
# Which to choose
# ---------------
# One pass of ``partial_fit`` comes as far as one epoch of ``fit``.  More passes help,
# and most of the gain is in the first few.  Use ``fit`` where you can put all rows into
# one file: you need not set anything.  Use ``partial_fit`` where rows keep coming, or
# are never kept.

seen = 2000 * np.arange(1, len(five_passes) + 1)
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.plot(seen, five_passes, label="partial_fit, five passes")
ax.plot(seen[:40], one_pass, label="partial_fit, each row once")
for (n_iter, score), style in zip(at_once.items(), [":", "--", "-."], strict=True):
    ax.axhline(score, color="0.4", ls=style, label=f"fit, n_iter={n_iter}")
ax.set(
    xlabel="rows trained on",
    ylabel="score of test rows (nats)",
    ylim=(-24, -17.5),
)
ax.legend(loc="lower right")
plt.show()

del rows  # closes the file before its folder goes
temporary.cleanup()
