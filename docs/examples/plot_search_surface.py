"""
=====================================
Search for the learning rate and size
=====================================

Two parameters of an RBM matter most for its features: the number of hidden units and
the learning rate.  This example tries all pairs on a grid and draws the result as a
map.  Then it finds good pairs in less time: by successive halving, which trains many
candidates for a few epochs and goes on with the best of them.  (An epoch is one pass
over the training rows.)
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from scipy.stats import loguniform
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    StratifiedKFold,
    train_test_split,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skrbm import BinaryCDRBM

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.3, stratify=y, random_state=0
)
pipeline = Pipeline(
    [
        ("rbm", BinaryCDRBM(n_iter=36, random_state=0)),
        ("scale", StandardScaler()),
        ("classify", LogisticRegression(max_iter=5000)),
    ]
)
folds = StratifiedKFold(n_splits=3, shuffle=True, random_state=0)

# %%
# All pairs on a grid
# -------------------
# Learning rates are best spaced by factors, and so are numbers of hidden units.  A
# search without a grid tells, for comparison, how good the defaults are.

grid = {
    "rbm__learning_rate": [0.03, 0.1, 0.3, 1.0],
    "rbm__n_components": [32, 64, 128, 256],
}
searches, summary = {}, {}


def run(name, search):
    """Do a search, and remember how long it took and what it found."""
    began = time.perf_counter()
    searches[name] = search.fit(X_train, y_train)
    seconds = time.perf_counter() - began
    results = pd.DataFrame(search.cv_results_)
    epochs = results.get("n_resources", np.full(len(results), 36))
    rbm = search.best_estimator_["rbm"]
    summary[name] = {
        "seconds": seconds,
        "epochs": epochs.sum() * folds.get_n_splits(),
        "learning rate": rbm.resolved_params_["learning_rate"],
        "hidden units": rbm.n_components,
        "accuracy, folds": search.best_score_,
        "accuracy, test": search.score(X_test, y_test),
    }


run("defaults", GridSearchCV(pipeline, {}, cv=folds, n_jobs=2))
run("grid", GridSearchCV(pipeline, grid, cv=folds, n_jobs=2))

# %%
# On the left, the mean accuracy on the folds held out.  More hidden units help most.
# The learning rate matters less: between 0.1 and 0.3 the surface is nearly flat.  On
# the right, the seconds of one fit, with that of the classifier: what more hidden units
# cost.

results = pd.DataFrame(searches["grid"].cv_results_)


def draw_map(ax, column, title, digits, cmap):
    """Draw a column of the results by learning rate and hidden units."""
    table = results.pivot_table(
        column, "param_rbm__learning_rate", "param_rbm__n_components"
    )
    image = ax.imshow(table, origin="lower", cmap=cmap)
    dark = image.norm(table.to_numpy()) > 0.6
    for (i, j), value in np.ndenumerate(table):
        color = "white" if dark[i, j] else "black"
        ax.text(j, i, f"{value:.{digits}f}", ha="center", va="center", color=color)
    ax.set_xticks(range(4), table.columns)
    ax.set_yticks(range(4), table.index)
    ax.set(title=title, xlabel="hidden units", ylabel="learning rate")


figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
draw_map(axes[0], "mean_test_score", "accuracy", 3, "Blues")
draw_map(axes[1], "mean_fit_time", "seconds of a fit", 2, "Oranges")
plt.show()

# %%
# Successive halving
# ------------------
# Here ``n_iter``, the number of epochs, is the resource that halving shares out.  All
# candidates get 4 epochs, the best third of them 12, the best third of those 36.  A
# candidate begins anew in each round.
#
# ``HalvingGridSearchCV`` takes its candidates from a grid, ``HalvingRandomSearchCV``
# draws them at random, here as many, so it can find values between those of the grid.

halving = dict(
    resource="rbm__n_iter",
    min_resources=4,
    max_resources=36,
    cv=folds,
    n_jobs=2,
    random_state=0,
)
distributions = grid | {"rbm__learning_rate": loguniform(0.03, 1)}
run("halving, grid", HalvingGridSearchCV(pipeline, grid, **halving))
run(
    "halving, random",
    HalvingRandomSearchCV(pipeline, distributions, n_candidates=16, **halving),
)
print(pd.DataFrame.from_dict(summary, orient="index").round(3).to_string())

# %%
# The picture shows each candidate from its first round to its last.  With very few
# epochs high learning rates look best, because they learn fastest at first.  They need
# not be best in the end: where lines cross, a round was too short to tell.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
colors = plt.cm.ScalarMappable(LogNorm(0.03, 1), "viridis_r")
for ax, name in zip(axes, ["halving, grid", "halving, random"], strict=True):
    rounds = pd.DataFrame(searches[name].cv_results_)
    candidate = ["param_rbm__learning_rate", "param_rbm__n_components"]
    for (rate, _), line in rounds.groupby(candidate):
        ax.semilogx(
            line["n_resources"],
            line["mean_test_score"],
            "o-",
            color=colors.to_rgba(rate),
        )
    ax.set_xticks([4, 12, 36], ["4", "12", "36"], minor=False)
    ax.minorticks_off()
    ax.set(title=name, xlabel="epochs")
axes[0].set_ylabel("accuracy")
bar = figure.colorbar(colors, ax=axes, label="learning rate")
bar.set_ticks(grid["rbm__learning_rate"], labels=grid["rbm__learning_rate"])
bar.minorticks_off()
plt.show()
