"""
==============================
What an RBM learns from digits
==============================

A restricted Boltzmann machine (RBM) has two layers of units: visible units, which are
the pixels of an image here, and hidden units, which it learns to use as features.
Weights join each pixel to each hidden unit.  It learns from the images alone, without
labels.

What has it learnt?  This example looks at the weights.  Then it asks the model for what
it cannot see: the lower half of digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skrbm import BinaryCDRBM
from skrbm.plotting import FiltersDisplay, ReconstructionDisplay

# %%
# Train
# -----
# The images have 8 by 8 pixels with values from 0 to 16.  The units of an RBM take
# values from 0 to 1, so we divide by 16.  The test digits are kept for later: one of
# each class.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.2, stratify=y, random_state=0
)
digits = X_test[[np.flatnonzero(y_test == label)[0] for label in range(10)]]

rbm = BinaryCDRBM(n_components=64, n_iter=100, random_state=0).fit(X_train)

# %%
# Complete digits
# ---------------
# An RBM models all pixels together, so it can fill in those that are missing (NaN) from
# the others.  ``complete`` does so by Gibbs steps: draw states of the hidden units that
# fit the pixels, then draw new pixels that fit those hidden units, but only where
# pixels are missing.
#
# Each step shows one possible digit.  ``complete`` returns their mean, which shows how
# likely ink is in each pixel.

lower = np.arange(64) >= 32  # the lower four of eight rows of pixels
known = np.where(lower, np.nan, digits)
completed = rbm.complete(known, n_gibbs_steps=400)


# %%
# On the left are the weights of the hidden units, one picture each.  Red pixels switch
# the unit on, blue pixels switch it off.  Many units look for a piece of a stroke, with
# paper beside it.
#
# On the right are the test digits, one of each class.  The model knows the upper half.
# What it fills in is blue.


def draw(ax, image, *, filled_in=False):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    if filled_in:
        blue = np.where(lower, image, np.nan).reshape(8, 8)
        ax.imshow(blue, cmap="Blues", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], facecolor="aliceblue")
    ax.spines[:].set_color("0.8")


figure = plt.figure(figsize=(10, 5), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[11, 9])
FiltersDisplay.from_estimator(
    rbm, shape=(8, 8), n_units=36, n_cols=6, colorbar=False, ax=left.subplots()
)

right.suptitle("Digits completed from their upper half")
pictures = {"known": known, "completed": completed, "truth": digits}
for part, five in zip(right.subfigures(2), (slice(0, 5), slice(5, 10)), strict=True):
    for row, name in zip(part.subplots(3, 5), pictures, strict=True):
        row[0].set_ylabel(name)
        for ax, image in zip(row, pictures[name][five], strict=True):
            draw(ax, image, filled_in=name == "completed")
plt.show()

# %%
# Where the model is wrong, the upper half could often be that of another digit.  Over
# all test digits, what it fills in is closer to the truth than the mean of the training
# digits is:


def error(V):
    return np.mean((V - X_test)[:, lower] ** 2)


filled = rbm.complete(np.where(lower, np.nan, X_test), n_gibbs_steps=400)
print(f"mean squared error, completed: {error(filled):.3f}")
print(f"mean squared error, mean digit: {error(X_train.mean(axis=0)):.3f}")

# %%
# One half, several digits
# ------------------------
# A mean hides that there may be several answers.  Here is one upper half, completed ten
# times.  With ``method="sample"`` each time has states of its own, and ``reconstruct``
# shows how likely ink is given these.

seven = np.repeat(known[[7]], 10, axis=0)
answers = rbm.complete(seven, method="sample", n_gibbs_steps=400)
answers = np.where(lower, rbm.reconstruct(answers), answers)
figure, axes = plt.subplots(1, 10, figsize=(9, 1.1), layout="constrained")
for ax, image in zip(axes, answers, strict=True):
    draw(ax, image, filled_in=True)
plt.show()

# %%
# What the hidden units keep
# --------------------------
# With all pixels known, we can go from the pixels to the hidden units and back.
# ``reconstruct`` does so.  What a reconstruction lacks, the hidden units have not
# learnt.

ReconstructionDisplay.from_estimator(rbm, digits, shape=(8, 8))
plt.show()
