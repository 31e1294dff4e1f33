"""
=========================================
Stack two RBMs into a deep belief network
=========================================

The hidden units of one restricted Boltzmann machine (RBM) can be the visible units of a
second one.  The two make a deep belief network, trained layer by layer and without
labels.  In scikit-learn this is a pipeline of two RBMs.

This example looks at what each layer has learnt, draws digits from the network, and
then says when a second layer pays and when it does not.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from skrbm import BinaryCDRBM
from skrbm.plotting import FiltersDisplay

# %%
# Train the network
# -----------------
# ``fit`` trains the first RBM on the pixels.  Then it trains the second one on what the
# first makes of them: for each hidden unit, the probability that it is on.  We want to
# draw from the top of the network, so the second RBM is a density, with
# ``persistent=True``.

X, y = load_digits(return_X_y=True)
X = X / 16
network = make_pipeline(
    BinaryCDRBM(128, random_state=0),
    BinaryCDRBM(64, persistent=True, random_state=0),
).fit(X)
first, second = network

# %%
# The first layer looks for strokes
# ---------------------------------
# Each picture shows the weights of a hidden unit.  Red pixels switch it on, blue pixels
# switch it off.

filters = FiltersDisplay.from_estimator(first, shape=(8, 8), n_units=40, n_cols=10)

# %%
# The second layer looks for digits
# ---------------------------------
# The weights of the second layer join hidden units, which are no picture.  So we look
# for the digits that switch a unit on most.  Each column is a unit of the second layer:
# four of these digits, and at the bottom the mean of the first 30.

activity = network.transform(X)
units = np.argsort(-activity.std(axis=0))[:12]
figure, axes = plt.subplots(5, 12, figsize=(9, 4), layout="constrained")
axes[-1, 0].set_ylabel("mean")
for column, unit in zip(axes.T, units, strict=True):
    strongest = X[np.argsort(-activity[:, unit])[:30]]
    for ax, image in zip(column, [*strongest[:4], strongest.mean(axis=0)], strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r")
        ax.set(xticks=[], yticks=[])

# %%
# Draw digits from the top
# ------------------------
# ``sample`` draws new rows for the second RBM.  These are states of the hidden units of
# the first RBM, and its ``inverse_transform`` turns them into pixels.

samples = first.inverse_transform(second.sample(24, random_state=0))
figure, axes = plt.subplots(2, 12, figsize=(9, 1.7), layout="constrained")
for ax, image in zip(axes.flat, samples, strict=True):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])

# %%
# Features for a classifier
# -------------------------
# Now a logistic regression learns the classes from the features of each layer, of both
# side by side, and from the pixels.  The accuracies are means of five folds.


def rbm(n_components):
    return BinaryCDRBM(n_components, random_state=0)


features = {
    "pixels": "passthrough",
    "one RBM, 128 units": rbm(128),
    "second layer, 128 units": make_pipeline(rbm(128), rbm(128)),
    "both layers": make_union(rbm(128), make_pipeline(rbm(128), rbm(128))),
    "one RBM, 10 units": rbm(10),
    "second layer, 10 units": make_pipeline(rbm(128), rbm(10)),
}
folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=0)
table = {}
for name, transformer in features.items():
    classifier = LogisticRegression(max_iter=5000)
    model = make_pipeline(transformer, StandardScaler(), classifier)
    accuracies = cross_val_score(model, X, y, cv=folds)
    table[name] = {
        "accuracy": accuracies.mean(),
        "standard error": accuracies.std(ddof=1) / np.sqrt(len(accuracies)),
    }
print(pd.DataFrame.from_dict(table, orient="index").round(3).to_string())

# %%
# With many hidden units one RBM is enough.  The second layer alone is no better, and
# both side by side hardly differ from the first.  If you want few features, a second
# layer pays: ten units on top of 128 tell more than ten units on top of the pixels.

plt.show()
