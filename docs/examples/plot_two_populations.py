"""
===================================
Two groups of rows and their shares
===================================

Rows often fall into separate groups: two kinds of customers, ten kinds of digits.  A
model of how likely rows are has to give each group its share.  This example shows how a
model can get that wrong, how skrbm gets it right, and how you find out.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from skrbm import BinaryCDRBM
from skrbm.metrics import sampling_diagnostics

# %%
# Two groups
# ----------
# We make 1000 rows of 50 columns.  Nine of ten rows are near one pattern, the others
# are near its opposite.  In each row 5 % of the columns are wrong, so the rows of a
# group differ.

rng = np.random.default_rng(1)
pattern = rng.random(50) < 0.5
in_large_group = rng.random(1000) < 0.9
X = np.where(in_large_group[:, None], pattern, ~pattern) ^ (
    rng.random((1000, 50)) < 0.05
)

# %%
# Train at one temperature and at several
# ---------------------------------------
# With ``persistent=True`` training compares your rows with rows that Markov chains draw
# from the model.  A chain changes a few columns in each step, so it hardly ever crosses
# from one group to the other: the rows between them are too unlikely.  The chains then
# say nothing about how large each group is.
#
# The way out is chains at several temperatures.  A hot chain sees a flat copy of the
# model and crosses easily.  Chains at neighbouring temperatures exchange their rows
# from time to time, and so the coldest, which draws from the model itself, visits both
# groups.  This is the default.
#
# We train both ways and draw 1000 rows from each model.  ``fit`` warns about the first:

models, groups = {}, {"training rows": X}
for n_temperatures in (1, "auto"):
    name = f"n_temperatures={n_temperatures!r}"
    rbm = BinaryCDRBM(
        16, persistent=True, n_temperatures=n_temperatures, random_state=0
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        models[name] = rbm.fit(X)
    for warning in told:
        print(f"{name}: {warning.message}")
    groups[f"samples, {name}"] = rbm.sample(1000, random_state=0)

# %%
# What the models draw
# --------------------
# The share of columns that agree with the pattern tells the groups apart: it is near 1
# in the large group and near 0 in the small one.  At one temperature the model has lost
# the large group.  At several temperatures it has both.


def agreement(V):
    """Return the share of columns of each row that agree with the pattern."""
    return (pattern == V).mean(axis=1)


figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True, layout="constrained")
axes[0].set_ylabel("rows of 1000")
for ax, (title, V) in zip(axes, groups.items(), strict=True):
    share = (agreement(V) > 0.5).mean()
    print(f"{title}: {share:.0%} in the large group")
    ax.hist(agreement(V), bins=np.linspace(0, 1, 26))
    ax.set_title(title, fontsize="medium")
    ax.set_xlabel("columns that agree with the pattern")

# %%
# Check your own model
# --------------------
# With your own data you do not know the groups.  ``sampling_diagnostics`` draws rows
# from a model, at several temperatures, and compares them with yours.  ``trusted`` sums
# it up: whether the chains went between the groups, and found the shares of your rows.
# ``shift`` says how far the samples are from your rows, in standard deviations:

for name, rbm in models.items():
    report = sampling_diagnostics(rbm, X, random_state=0)
    print(
        f"{name}: trusted={report.trusted}, shift={report.shift:.2f} "
        f"+- {report.shift_error:.2f}"
    )
plt.show()
