"""
=================================
Features of an RBM, or raw input?
=================================

A restricted Boltzmann machine (RBM) turns columns into features for a classifier.
Whether that helps depends on the data, and only a fair comparison can tell.  This
example makes one on four data sets that come with scikit-learn: three tables, and
images of digits.

In short: on the digits the features help.  On the tables they do not.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skrbm import BinaryCDRBM

# %%
# Four ways to a classifier
# -------------------------
# The same logistic regression gets
#
# - the raw columns,
# - the features of an RBM with 256 hidden units, the default,
# - both side by side,
# - and the features without a ``StandardScaler`` behind them.
#
# An RBM wants values from 0 to 1, so a ``MinMaxScaler`` stands before it.  With
# ``clip=True`` new rows stay in that range, too.  Nothing is tuned: all models have
# their defaults, so nobody has looked at the held-out rows beforehand.


def features():
    return make_pipeline(MinMaxScaler(clip=True), BinaryCDRBM(random_state=0))


def classifier():
    return LogisticRegression(max_iter=5000)


models = {
    "raw": make_pipeline(StandardScaler(), classifier()),
    "RBM": make_pipeline(features(), StandardScaler(), classifier()),
    "raw and RBM": make_pipeline(
        make_union("passthrough", features()), StandardScaler(), classifier()
    ),
    "RBM, not standardised": make_pipeline(features(), classifier()),
}
data = {
    "iris": load_iris,
    "wine": load_wine,
    "breast cancer": load_breast_cancer,
    "digits": load_digits,
}

# %%
# Compare
# -------
# Five folds, twice over, the same for all models: ten accuracies each.  Scalers and
# RBMs are part of the pipelines, so they see the training rows of each fold alone.

folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)
scores = {}
for name, load in data.items():
    X, y = load(return_X_y=True)
    scores[name] = pd.DataFrame(
        {kind: cross_val_score(model, X, y, cv=folds) for kind, model in models.items()}
    )

print("Mean accuracy:")
means = pd.DataFrame({name: accuracies.mean() for name, accuracies in scores.items()})
print(means.T.round(3).to_string())

# %%
# Each small dot is the accuracy of one fold, each large dot the mean of a model.  The
# bars reach one standard deviation to either side.  Mind the scales: they differ.

figure, axes = plt.subplots(2, 2, figsize=(9, 5), sharey=True, layout="constrained")
colors = ["tab:grey", "tab:blue", "tab:purple", "tab:orange"]
for ax, (name, accuracies) in zip(axes.flat, scores.items(), strict=True):
    for row, (kind, color) in enumerate(zip(models, colors, strict=True)):
        values = accuracies[kind]
        ax.plot(values, [row] * len(values), "o", color=color, ms=4, alpha=0.4)
        ax.errorbar(values.mean(), row, xerr=values.std(), fmt="o", color=color, ms=9)
    ax.axvline(accuracies["raw"].mean(), color="tab:grey", lw=1, ls=":")
    ax.set(title=name, yticks=range(4), yticklabels=models, ylim=(3.5, -0.5))
figure.supxlabel("accuracy on held-out rows")
plt.show()

# %%
# Is a difference real?
# ---------------------
# All models saw the same folds, so we can look at their differences fold by fold.

difference = pd.DataFrame({name: a["RBM"] - a["raw"] for name, a in scores.items()})
print("Accuracy with the RBM less that of the raw columns:")
print(
    pd.DataFrame(
        {
            "mean": difference.mean(),
            "standard deviation": difference.std(),
            "folds better": (difference > 0).sum(),
            "folds worse": (difference < 0).sum(),
        }
    )
    .round(3)
    .to_string()
)

# %%
# On the digits the RBM is better in every fold.  On wine and breast cancer it makes no
# difference, or loses a little.
#
# On iris it seems to help.  But there a weaker penalty helps as much, without an RBM:

X, y = load_iris(return_X_y=True)
weaker = make_pipeline(StandardScaler(), LogisticRegression(C=100, max_iter=5000))
print(f"iris, raw, C=100: {cross_val_score(weaker, X, y, cv=folds).mean():.3f}")

# %%
# What to take from it
# --------------------
# - Begin with the raw columns.  Keep an RBM if it is better on the same folds.
# - Try an RBM where rows have many columns of one kind, and no column says much by
#   itself: pixels, words, items bought, answers to questions.
# - Do not expect much on tables of a few measured quantities.
# - Put a ``StandardScaler`` behind the RBM.  Many hidden units are nearly always off:
#   their values hardly vary, and the penalty keeps the classifier from using them.
# - Raw columns beside the features gained nothing here.
