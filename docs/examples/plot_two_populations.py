"""
Two groups of rows, and the share that a density gives each
============================================================

Nine rows of ten are near one pattern, the tenth is near its opposite.  Persistent
chains at a single temperature stay in the group where they started, so the model never
learns how many rows each group has.  Chains at several temperatures move between them.

``python plot_two_populations.py FILE`` draws to a file instead of the screen; it takes
a few seconds.
"""

import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np

from skrbm import BinaryCDRBM

rng = np.random.default_rng(1)
pattern = rng.random(50) < 0.5
first = rng.random(1000) < 0.9
X = np.where(first[:, None], pattern, ~pattern) ^ (rng.random((1000, 50)) < 0.05)


def share_of_pattern(V):
    """Return the share of the units of each row that are as in the pattern."""
    return (pattern == V).mean(axis=1)


figure, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharey=True, layout="constrained")
rows = {"rows trained on": X}
for name, n_temperatures in (("one temperature", 1), ("several (default)", "auto")):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fit says that the groups were lost
        rbm = BinaryCDRBM(
            16, persistent=True, n_temperatures=n_temperatures, random_state=0
        ).fit(X)
    rows[f"samples, {name}"] = rbm.sample(1000, random_state=0, n_temperatures=5)

for ax, (title, V) in zip(axes, rows.items(), strict=True):
    ax.hist(share_of_pattern(V), bins=np.linspace(0, 1, 26), color="#4477aa")
    ax.set_title(title, fontsize=9)
    ax.set_xlabel("units as in the pattern", fontsize=8)
    print(f"{title}: {(share_of_pattern(V) > 0.5).mean():.2f} near the pattern")
axes[0].set_ylabel("rows of 1000", fontsize=8)
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1])
else:
    plt.show()
