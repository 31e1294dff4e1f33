"""
==========================================
Recognise digits by the features of an RBM
==========================================

A restricted Boltzmann machine (RBM) learns features from images alone, without
their labels.  Here :class:`skrbm.BinaryCDRBM` does so between a scaler and a
logistic regression; a grid search chooses its learning rate and its number of
hidden units.  Two others are searched on the same folds: scikit-learn's
``BernoulliRBM`` in its place, and a logistic regression on the pixels.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report
from sklearn.model_selection import (
    GridSearchCV,
    ParameterGrid,
    StratifiedGroupKFold,
    train_test_split,
)
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skrbm import BinaryCDRBM

# %%
# Data
# ----
# The digits of scikit-learn are centred in their images, which makes it easy for a
# linear classifier of pixels: each pixel always shows the same part of a digit.  We
# make the task harder, and closer to digits in the wild, by adding copies moved by
# one pixel in each of four directions.
#
# Copies of one digit must never be on both sides of a split.  So the test digits
# are set aside before they are copied, and ``groups`` tells the copies in the
# training set which digit they come from.


SHIFTS = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]


def with_shifts(X):
    """Return the 8x8 digits in the rows of X, then moved copies of all of them."""
    padded = np.pad(X.reshape(-1, 8, 8), [(0, 0), (1, 1), (1, 1)])
    copies = [padded[:, 1 + y : 9 + y, 1 + x : 9 + x] for y, x in SHIFTS]
    return np.concatenate(copies).reshape(-1, 64)


digits = load_digits()
X_train_centred, X_test_centred, y_train_centred, y_test_centred = train_test_split(
    digits.data, digits.target, test_size=0.3, stratify=digits.target, random_state=0
)
X_train, X_test = with_shifts(X_train_centred), with_shifts(X_test_centred)
y_train = np.tile(y_train_centred, len(SHIFTS))
y_test = np.tile(y_test_centred, len(SHIFTS))
groups = np.tile(np.arange(len(y_train_centred)), len(SHIFTS))
print(f"{len(X_train)} images to train on, {len(X_test)} to test on")

# %%
# Models
# ------
# The visible units of a binary RBM stand for values in [0, 1], and these pixels
# hold 0 to 16.  One factor for all of them keeps a pixel that is hardly ever inked
# as unimportant as it is.
#
# Some hidden units are on in few digits, others in many.  Standardising them lets the
# penalty of the classifier treat all alike, and it converges in fewer steps.
#
# Both RBMs see the training set equally often, and go through the same grid.  The
# classifier on pixels has as many candidates, for the strength of its penalty.


def to_unit_interval(X):
    return X / 16


def pipeline(rbm):
    """Return the steps from pixels to labels; "passthrough" for no RBM."""
    return Pipeline(
        [
            ("scale", FunctionTransformer(to_unit_interval)),
            ("rbm", rbm),
            ("standardise", StandardScaler()),
            ("classify", LogisticRegression(max_iter=5000)),
        ]
    )


rbm_grid = {
    "rbm__learning_rate": [0.03, 0.1, 0.3],
    "rbm__n_components": [64, 128, 256],
}
candidates = {
    "BinaryCDRBM": (
        pipeline(BinaryCDRBM(n_iter=20, random_state=0)),
        rbm_grid,
    ),
    "BernoulliRBM": (
        pipeline(BernoulliRBM(n_iter=20, random_state=0)),
        rbm_grid,
    ),
    "pixels": (pipeline("passthrough"), {"classify__C": np.logspace(-2, 2, 9)}),
}

# %%
# Search, and see how far it is
# -----------------------------
# ``GridSearchCV`` trains in processes of its own, out of sight of the one that
# draws the progress bar.  It scores each fit once, and a scorer may be anything
# that can be called: ours adds a byte to a file, whatever process it is in, and the
# bar shows how long the file is.
#
# Some candidates may warn of hidden units that are never or always on.  Such units
# are no use, but the accuracy of their model tells how much they were needed.


class CountedScore:
    """The score of the estimator itself, and a byte in a file for each call."""

    def __init__(self, file):
        self.file = file

    def __call__(self, estimator, X, y):
        score = estimator.score(X, y)
        with self.file.open("ab") as file:
            file.write(b".")
        return score


class FileProgress(Progress):
    """Bars as long as the files named in the ``file`` of their tasks."""

    def get_renderables(self):
        for task in self.tasks:
            self.update(task.id, completed=task.fields["file"].stat().st_size)
        return super().get_renderables()


folds = StratifiedGroupKFold(n_splits=3, shuffle=True, random_state=0)
columns = TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn()
searches = {}
with (
    tempfile.TemporaryDirectory() as folder,
    FileProgress(*columns, TextColumn("fits"), TimeElapsedColumn()) as progress,
):
    for name, (model, grid) in candidates.items():
        file = Path(folder, name)
        file.touch()
        n_fits = len(ParameterGrid(grid)) * folds.get_n_splits()
        progress.add_task(name, total=n_fits, file=file)
        search = GridSearchCV(
            model,
            grid,
            scoring=CountedScore(file),
            cv=folds,
            n_jobs=-1,
            error_score="raise",
        )
        searches[name] = search.fit(X_train, y_train, groups=groups)

# %%
# What the searches found
# -----------------------
# Accuracies are means over the folds; seconds are those of one fit, classifier
# included.


FIGURES = {
    "mean_test_score": "accuracy",
    "std_test_score": "std",
    "mean_fit_time": "seconds",
}


def results(search):
    """Return the accuracies and times of a search, with its grid as the index."""
    names = list(search.param_grid)
    table = pd.DataFrame(search.cv_results_)
    table = table.set_index([f"param_{name}" for name in names])[list(FIGURES)]
    table.index.names = [name.split("__")[1] for name in names]
    return table.rename(columns=FIGURES)


rbms = ["BinaryCDRBM", "BernoulliRBM"]
print("\nCross-validation, RBMs:")
table = pd.concat({name: results(searches[name]) for name in rbms}, axis=1)
print(table.round(3).to_string())
print("\nCross-validation, pixels:")
print(results(searches["pixels"]).round(3).to_string())

# %%
# The best of each on digits held out
# -----------------------------------
# No search has seen the test digits.  The last row is of a classifier on pixels that
# was trained on centred digits only, its penalty searched in the same way: compare it
# with the others where no digit is moved.


centred = clone(searches["pixels"]).set_params(scoring=None)
centred.fit(X_train_centred, y_train_centred, groups=groups[: len(y_train_centred)])


def best(search):
    return ", ".join(
        f"{name.split('__')[1]}={value:.3g}"
        for name, value in search.best_params_.items()
    )


held_out = pd.DataFrame.from_dict(
    {
        name: {
            "chosen": best(search),
            "moved digits": search.best_estimator_.score(X_test, y_test),
            "centred digits": search.best_estimator_.score(
                X_test_centred, y_test_centred
            ),
        }
        for name, search in (searches | {"pixels, centred": centred}).items()
    },
    orient="index",
)
print("\nAccuracy on the test digits:")
print(held_out.round(3).to_string())

model = searches["BinaryCDRBM"].best_estimator_
print("\nBinaryCDRBM on moved test digits:")
print(classification_report(y_test, model.predict(X_test), digits=3))

# %%
# What the RBM has learned
# ------------------------
# A row of ``components_`` holds the weights of one hidden unit, one for each pixel.
# Red pixels turn it on and blue ones turn it off.  Weights are shown times the
# standard deviation of their pixel, because those at the corners, which are hardly
# ever inked, say little.  These are the units for which that is largest.

rbm = model["rbm"]


def save(figure, name):
    figure.savefig(name, dpi=120)
    print("Saved", Path(name).resolve())


effects = rbm.components_ * to_unit_interval(X_train).std(axis=0)
strongest = np.argsort(-np.linalg.norm(effects, axis=1))
figure, axes = plt.subplots(8, 12, figsize=(8, 6), layout="constrained")
for ax, unit in zip(axes.flat, strongest, strict=False):
    limit = np.abs(effects[unit]).max()
    ax.imshow(effects[unit].reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
for ax in axes.flat:
    ax.set_axis_off()
figure.suptitle(f"Weights of hidden units ({best(searches['BinaryCDRBM'])})")
save(figure, "digits_filters.png")

# %%
# ``reconstruct`` takes digits to the hidden units and back: what it returns is what
# the features keep.  These are test digits, one of each class; black is the largest
# value of each picture.

first_of_class = [np.flatnonzero(y_test == label)[0] for label in range(10)]
V = to_unit_interval(X_test[first_of_class])
figure, axes = plt.subplots(2, 10, figsize=(8, 2.2), layout="constrained")
for row, images in zip(axes, (V, rbm.reconstruct(V)), strict=True):
    for ax, image in zip(row, images, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0)
        ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("digit")
axes[1, 0].set_ylabel("model")
figure.suptitle("Test digits, and the same as the model sees them")
save(figure, "digits_reconstructions.png")
