"""
===============================================
Recognise digits by features that an RBM learns
===============================================

A restricted Boltzmann machine (RBM) learns features from images, without their
labels.  With these features a linear classifier can do what it cannot do with pixels.
Here :class:`skrbm.BinaryCDRBM` stands in a pipeline, in front of a logistic regression.
A grid search chooses its learning rate and its number of hidden units.

Two other models are searched on the same folds: scikit-learn's ``BernoulliRBM`` with
the same grid, and a logistic regression on the pixels.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    train_test_split,
)
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skrbm import BinaryCDRBM
from skrbm.plotting import FiltersDisplay, ReconstructionDisplay

# %%
# Digits that are not centred
# ---------------------------
# The digits that come with scikit-learn are centred in their images.  That makes them
# easy for a linear classifier: each pixel always shows the same part of a digit.  We
# make the task harder, and closer to digits in the wild.  We add four copies of each
# digit, moved by one pixel up, down, left and right.
#
# Copies of one digit must never be on both sides of a split, or the scores would be too
# good.  So we set the test digits aside before we copy anything, and ``groups`` tells
# the search which images show the same digit.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.3, stratify=y, random_state=0
)


def with_copies(X):
    """Return the 8x8 digits in the rows of X, then moved copies of all of them."""
    padded = np.pad(X.reshape(-1, 8, 8), [(0, 0), (1, 1), (1, 1)])
    corners = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    copies = [padded[:, row : row + 8, col : col + 8] for row, col in corners]
    return np.concatenate(copies).reshape(-1, 64)


n_train, n_test = len(X_train), len(X_test)
X_train, X_test = with_copies(X_train), with_copies(X_test)
y_train, y_test = np.tile(y_train, 5), np.tile(y_test, 5)
groups = np.tile(np.arange(n_train), 5)
print(f"{len(X_train)} images to train on, {len(X_test)} to test on")

# %%
# Models and their grids
# ----------------------
# The units of an RBM take values from 0 to 1.  The pixels are whole numbers up to 16,
# so we divided them by 16.
#
# Some hidden units are on in few digits, others in many.  A ``StandardScaler`` behind
# the RBM makes the penalty of the classifier treat all of them alike.
#
# Both RBMs pass over the training images ten times, and go through the same grid.
# (Twenty passes change the best accuracy of each by less than 0.003.)  The classifier
# on pixels has as many candidates, for the strength of its penalty.

rbm_grid = {
    "features__learning_rate": [0.03, 0.1, 0.3],
    "features__n_components": [64, 128, 256],
}
candidates = {
    "BinaryCDRBM": (BinaryCDRBM(n_iter=10, random_state=0), rbm_grid),
    "BernoulliRBM": (BernoulliRBM(n_iter=10, random_state=0), rbm_grid),
    "pixels": ("passthrough", {"classify__C": np.logspace(-2, 2, 9)}),
}

# %%
# Search
# ------
# From version 1.9 on, scikit-learn shows how far a search is by a callback, if rich is
# installed.  Without it the search is the same, but silent.

folds = StratifiedGroupKFold(n_splits=3, shuffle=True, random_state=0)


def search(name, n_images):
    """Search the grid of a model, on the first images of the training set."""
    features, grid = candidates[name]
    pipeline = Pipeline(
        [
            ("features", features),
            ("standardise", StandardScaler()),
            ("classify", LogisticRegression(max_iter=5000)),
        ]
    )
    found = GridSearchCV(pipeline, grid, cv=folds, n_jobs=-1)
    try:
        from sklearn.callback import ProgressBar

        found.set_callbacks(ProgressBar(max_propagation_depth=0))
    except ImportError:
        pass
    print(f"\n{name}, {n_images} images:")
    return found.fit(X_train[:n_images], y_train[:n_images], groups=groups[:n_images])


searches = {name: search(name, len(X_train)) for name in candidates}

# %%
# What the searches found
# -----------------------
# Accuracies are means over the three folds.  Seconds are those of one fit, with that of
# the classifier.


def results(found):
    """Return the accuracies and seconds of a search; its parameters are the index."""
    columns = {"mean_test_score": "accuracy", "mean_fit_time": "seconds"}
    table = pd.DataFrame(found.cv_results_).rename(columns=columns)
    parameters = pd.DataFrame(found.cv_results_["params"])
    parameters.columns = parameters.columns.str.split("__").str[1]
    return table[columns.values()].set_index(pd.MultiIndex.from_frame(parameters))


rbms = ["BinaryCDRBM", "BernoulliRBM"]
table = pd.concat({name: results(searches[name]) for name in rbms}, axis=1)
print(table.round(3).to_string())
print("\nPixels:")
print(results(searches["pixels"]).round(3).to_string())

# %%
# Each line is a learning rate.  The dashed line is the best classifier on pixels.

search_figure, axes = plt.subplots(
    1, 2, figsize=(8, 3.4), sharey=True, layout="constrained"
)
axes[0].set_ylabel("accuracy on held-out folds")
for ax, name in zip(axes, rbms, strict=True):
    by_rate = results(searches[name]).pivot_table(
        "accuracy", "n_components", "learning_rate"
    )
    by_rate.plot(ax=ax, marker="o", title=name, xlabel="hidden units", legend=False)
    ax.set_xticks(by_rate.index)
    ax.axhline(searches["pixels"].best_score_, color="grey", ls="--", label="pixels")
legend = axes[0].legend(title="learning rate", loc="center right")

# %%
# The best of each on the test digits
# -----------------------------------
# No search has seen the test digits.  The last row is for comparison: a classifier on
# pixels that was trained on centred digits alone.  It does well until somebody moves
# the digits.

searches["pixels, centred"] = search("pixels", n_train)
test_accuracy = {}
for name, found in searches.items():
    chosen = found.best_params_.items()
    test_accuracy[name] = {
        "moved or not": found.score(X_test, y_test),
        "centred": found.score(X_test[:n_test], y_test[:n_test]),
        "chosen": ", ".join(f"{key.split('__')[1]}={v:.3g}" for key, v in chosen),
    }
print("\nAccuracy on the test digits:")
print(pd.DataFrame.from_dict(test_accuracy, orient="index").round(3).to_string())

# %%
# What the RBM has learnt
# -----------------------
# Each picture has the weights of one hidden unit.  Red pixels switch the unit on, blue
# pixels switch it off.

rbm = searches["BinaryCDRBM"].best_estimator_["features"]
filters = FiltersDisplay.from_estimator(rbm, shape=(8, 8), n_units=40, n_cols=10)

# %%
# ``reconstruct`` goes from the digits to the hidden units and back.  What it returns is
# what the features have kept of a digit.  These are test digits, one of each class.

first_of_class = [np.flatnonzero(y_test == label)[0] for label in range(10)]
reconstructions = ReconstructionDisplay.from_estimator(
    rbm, X_test[first_of_class], shape=(8, 8)
)

# %%
# Run as a script, this file also saves its figures in the working directory.

if "__file__" in globals():
    for name, figure in {
        "digits_search.png": search_figure,
        "digits_filters.png": filters.figure_,
        "digits_reconstructions.png": reconstructions.figure_,
    }.items():
        figure.savefig(name, dpi=120)
        print("Saved", Path(name).resolve())
