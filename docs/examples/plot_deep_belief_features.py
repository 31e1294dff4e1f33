"""
=========================================
Stack two RBMs into a deep belief network
=========================================

The hidden units of one restricted Boltzmann machine (RBM) can be the visible units
of the next: trained one after the other, they make a deep belief network.  As
:class:`skrbm.BinaryCDRBM` is a transformer with values in [0, 1], a pipeline of two
is all it takes.  We compare the features of each layer in front of a classifier,
and then draw digits from the network.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from skrbm import BinaryCDRBM

# %%
# Data
# ----
# Pixels hold 0 to 16; the visible units of a binary RBM stand for values in [0, 1].

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.data / 16,
    digits.target,
    test_size=0.3,
    stratify=digits.target,
    random_state=0,
)

# %%
# Features of one layer and of two
# --------------------------------
# ``fit`` of a pipeline trains the first RBM on the pixels, and the second one on
# what the first makes of them.  Neither looks at the labels.
#
# A pipeline hands on the features of its last layer alone, and a second layer does
# not always make better ones.  We also try both layers side by side.


def layer(n_iter):
    return BinaryCDRBM(
        n_components=256,
        learning_rate=0.1,
        n_iter=n_iter,
        statistics="states",
        random_state=0,
    )


def one_layer():
    return layer(n_iter=60)


def two_layers():
    return make_pipeline(layer(n_iter=60), layer(n_iter=30))


features = {
    "pixels": "passthrough",
    "one layer": one_layer(),
    "two layers, the second": two_layers(),
    "two layers, both": make_union(one_layer(), two_layers()),
}
models, held_out = {}, {}
for name, transformer in features.items():
    began = time.perf_counter()
    models[name] = make_pipeline(
        transformer, StandardScaler(), LogisticRegression(max_iter=5000)
    ).fit(X_train, y_train)
    held_out[name] = {
        "accuracy": models[name].score(X_test, y_test),
        "seconds to fit": time.perf_counter() - began,
    }
print("On the test digits:")
print(pd.DataFrame.from_dict(held_out, orient="index").round(3).to_string())

# %%
# Draw digits
# -----------
# The network generates from the top: Gibbs steps between the two layers of the
# second RBM give states of its visible units, which are the hidden units of the
# first, and ``inverse_transform`` turns those into pixels.  With a single RBM the
# steps are between pixels and hidden units.  Nothing is shown to either.

first, second = models["two layers, the second"][0]
single = models["one layer"][0]
n_samples = 12
drawn = {
    "One RBM": single.inverse_transform(
        single.transform(single.sample(n_samples, random_state=0))
    ),
    "Two RBMs": first.inverse_transform(second.sample(n_samples, random_state=0)),
}


def save(figure, name):
    figure.savefig(name, dpi=120)
    print("Saved", Path(name).resolve())


def show(ax, image, **kwargs):
    ax.imshow(image.reshape(8, 8), **kwargs)
    ax.set(xticks=[], yticks=[])


figure, axes = plt.subplots(2, n_samples, figsize=(9, 2.1), layout="constrained")
for row, (name, images) in zip(axes, drawn.items(), strict=True):
    row[0].set_ylabel(name)
    for ax, image in zip(row, images, strict=True):
        show(ax, image, cmap="gray_r", vmin=0)
figure.suptitle("Digits drawn from the models, each from a chain of its own")
save(figure, "deep_belief_samples.png")

# %%
# What the second layer looks for
# -------------------------------
# A unit of the second layer weighs units of the first, and those weigh pixels.  The
# product of the two sets of weights leaves out the sigmoid between them, but shows
# where a unit likes ink (red) and where not (blue).  As above, first layer on top;
# pixels count by their standard deviation, and units are those with most effect.

spread = X_train.std(axis=0)
filters = {
    "First layer": first.components_ * spread,
    "Second layer": second.components_ @ first.components_ * spread,
}
figure, axes = plt.subplots(4, 12, figsize=(9, 3.6), layout="constrained")
for rows, (name, weights) in zip((axes[:2], axes[2:]), filters.items(), strict=True):
    rows[0, 0].set_ylabel(name, loc="top")
    strongest = np.argsort(-np.linalg.norm(weights, axis=1))
    for ax, unit in zip(rows.flat, strongest, strict=False):
        limit = np.abs(weights[unit]).max()
        show(ax, weights[unit], cmap="RdBu_r", vmin=-limit, vmax=limit)
figure.suptitle("Weights from pixels to hidden units")
save(figure, "deep_belief_filters.png")
