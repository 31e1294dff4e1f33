"""
=============
Find odd rows
=============

A model of how likely rows are can find odd ones: it gives them a low score.  A
restricted Boltzmann machine (RBM) offers two scores, and neither needs labels.

- ``-free_energy`` is the logarithm of the probability of a row, up to a constant that
  is the same for all rows.
- ``score_samples`` is the pseudo-log-likelihood: how well each column can be told from
  the other columns of the row.

This example compares both with the anomaly detectors of scikit-learn, chooses a
threshold, and then asks the RBM which pixels of a row are odd.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor

from skrbm import BinaryCDRBM

# %%
# Two kinds of odd digits
# -----------------------
# A pixel is on if it has more than half of the ink.  The models train on digits of nine
# classes.  The test has other digits of these classes, which are normal, and two kinds
# of odd ones: digits of the tenth class, here the eights, and normal digits with two
# wrong pixels.

digits, y = load_digits(return_X_y=True)
binary = (digits > 7).astype(float)


def with_wrong_pixels(X, n_wrong=2):
    """Return the rows with so many pixels x changed to 1 - x, and which these are."""
    wrong = np.tile(np.arange(64) < n_wrong, (len(X), 1))
    wrong = np.random.default_rng(0).permuted(wrong, axis=1)
    return np.where(wrong, 1 - X, X), wrong


def leave_out(label, X):
    """Return rows to train on, without one class, and test rows of each kind."""
    train, normal = train_test_split(X[y != label], test_size=0.3, random_state=0)
    odd, _ = with_wrong_pixels(normal)
    return train, {"normal": normal, "new class": X[y == label], "wrong pixels": odd}


train, test = leave_out(8, binary)
figure, axes = plt.subplots(3, 10, figsize=(8.5, 2.9), layout="constrained")
for row, (kind, rows) in zip(axes, test.items(), strict=True):
    row[0].set_ylabel(kind)
    for ax, image in zip(row, rows[:10], strict=True):
        ax.imshow(image.reshape(8, 8), cmap="Greys")
        ax.set(xticks=[], yticks=[])

# %%
# Score them
# ----------
# A small RBM is enough here.  We train it by the default, contrastive divergence, and
# with ``persistent=True``, which is made for densities and takes longer.  The others
# have the settings of scikit-learn.


def fit(train):
    """Return functions that score rows; the lower the score, the odder the row."""
    rbm = BinaryCDRBM(32, random_state=0).fit(train)
    persistent = BinaryCDRBM(32, persistent=True, random_state=0).fit(train)
    return {
        "RBM, free energy": lambda X: -rbm.free_energy(X),
        "RBM, pseudo-likelihood": rbm.score_samples,
        "persistent, free energy": lambda X: -persistent.free_energy(X),
        "persistent, pseudo-likelihood": persistent.score_samples,
        "LocalOutlierFactor": LocalOutlierFactor(novelty=True).fit(train).score_samples,
        "IsolationForest": IsolationForest(random_state=0).fit(train).score_samples,
    }


scores = fit(train)

# %%
# As the threshold moves, a detector finds more odd rows and also raises more false
# alarms.  A ROC curve shows both.  The area under it (AUC) is the probability that an
# odd row scores lower than a normal one: 0.5 is chance, 1 is perfect.  The persistent
# RBM is left out of the picture: its curves lie on those of the other.

odd_kinds = ["new class", "wrong pixels"]
figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
for ax, kind in zip(axes, odd_kinds, strict=True):
    is_odd = np.repeat([False, True], [len(test["normal"]), len(test[kind])])
    rows = np.concatenate([test["normal"], test[kind]])
    for name, score in scores.items():
        if "persistent" not in name:
            RocCurveDisplay.from_predictions(is_odd, -score(rows), name=name, ax=ax)
    ax.set(title=kind, xlabel="false alarms", ylabel="odd rows found")
    ax.legend(fontsize="small", loc="lower right")

# %%
# Is it luck?
# -----------
# The eights are one case.  So we leave out each class in turn, and print the mean AUC
# over all ten.  We also do it all again on the grey pixels, with values between 0 and
# 1.

results = []
for name, X in {"binary": binary, "grey": digits / 16}.items():
    for label in range(10):
        train_rows, test_rows = leave_out(label, X)
        for detector, score in fit(train_rows).items():
            values = {kind: score(rows) for kind, rows in test_rows.items()}
            for kind in odd_kinds:
                is_odd = np.repeat([0, 1], [len(values["normal"]), len(values[kind])])
                auc = roc_auc_score(is_odd, -np.append(values["normal"], values[kind]))
                results.append((name, kind, detector, auc))
results = pd.DataFrame(results, columns=["pixels", "odd rows", "detector", "AUC"])
table = results.pivot_table("AUC", "detector", ["pixels", "odd rows"], sort=False)
print(table.round(3).to_string())

# %%
# - For rows of zeros and ones take the free energy of an RBM: it is best at both kinds
#   of odd rows.
# - For values between 0 and 1 take ``score_samples``.  The free energy is a
#   log-probability of zeros and ones only.
# - For a new class on grey pixels take LocalOutlierFactor: distances between grey
#   images say more than an RBM does.
# - ``persistent=True`` gains nothing here, and takes longer.  Use it if odd rows may be
#   anything, or if you need the probability of a row.
#
# Choose a threshold
# ------------------
# A threshold needs no odd rows.  Decide how many false alarms you can bear, for
# instance 5 of 100 normal rows, and take that quantile of the scores of normal rows
# that were not trained on.  A model knows its training rows a little too well: a
# threshold from these would give more false alarms.

train_rows, kept = train_test_split(train, test_size=0.3, random_state=0)
rbm = BinaryCDRBM(32, random_state=0).fit(train_rows)
threshold = np.quantile(-rbm.free_energy(kept), 0.05)
below = {}
figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
for kind, rows in ({"training": train_rows} | test).items():
    values = -rbm.free_energy(rows)
    below[kind] = np.mean(values < threshold)
    ax.hist(
        values,
        bins=np.arange(15, 60, 1.5),
        density=True,
        histtype="step",
        lw=1.5,
        label=kind,
    )
ax.axvline(threshold, color="0.5", ls="--", label="threshold")
ax.set(xlabel="score: -free energy (nats)", ylabel="share of rows per nat")
ax.legend(loc="upper left")
print("Below the threshold:")
print(pd.Series(below).map("{:.1%}".format).to_string())

# %%
# Which pixels are odd?
# ---------------------
# An RBM can also say what is odd about a row.  Change one pixel and see by how much the
# free energy falls: so many nats more likely is the row with the pixel changed.  Red
# pixels are those that the model would change.  A cross marks the pixels that are
# wrong.

rbm = BinaryCDRBM(32, random_state=0).fit(train)


def gain(row):
    """Return by how many nats a change of each pixel makes the row more likely."""
    changed = np.where(np.eye(64, dtype=bool), 1 - row, row)
    return rbm.free_energy(row[None]) - rbm.free_energy(changed)


odd, wrong = with_wrong_pixels(test["normal"])
gains = np.array([gain(row) for row in odd])
found = wrong[np.arange(len(odd)), gains.argmax(axis=1)].mean()
print(f"The oddest pixel is a wrong one in {found:.0%} of the rows (by chance: 3%)")

figure, axes = plt.subplots(2, 8, figsize=(8.5, 2.4), layout="constrained")
for column, row, g, w in zip(axes.T, odd, gains, wrong, strict=False):
    column[0].imshow(row.reshape(8, 8), cmap="Greys")
    column[1].imshow(g.reshape(8, 8), cmap="Reds", vmin=0, vmax=6)
    for ax in column:
        ax.plot(*np.divmod(np.flatnonzero(w), 8)[::-1], "x", color="tab:blue")
        ax.set(xticks=[], yticks=[])
plt.show()
