"""
=======================================
From a CSV file to a searched pipeline
=======================================

A table has numbers, categories, ordered answers and empty cells.  A restricted
Boltzmann machine (RBM) wants columns with values from 0 to 1.  This example goes all
the way: it reads a CSV file, prepares each kind of column, learns features, searches
over the parameters, and compares with the same pipeline without an RBM.  Then it shows
which columns drive the features that matter.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    StandardScaler,
)

from skrbm import BinaryCDRBM
from skrbm.plotting import FiltersDisplay

# %%
# A CSV file
# ----------
# The table is made up: 4000 customers of a shop, what they buy, and whether they left.
# We make it in such a way that an RBM can help.  There are eight kinds of customers.
# Each kind has habits of its own, and customers of four kinds often leave.  The kind
# itself is not in the table.

rng = np.random.default_rng(0)
n_customers, n_kinds = 4000, 8
kind = rng.integers(n_kinds, size=n_customers)
goods = ["coffee", "tea", "wine", "beer", "bread", "pasta", "rice", "fish"]
goods += ["meat", "cheese", "fruit", "sweets", "nappies", "soap", "flowers", "books"]
habits = rng.choice([0.1, 0.3, 0.7], size=(n_kinds, len(goods)))
payment = rng.integers(3, size=n_kinds)

customers = pd.DataFrame(
    {
        "age": rng.normal(rng.uniform(25, 70, n_kinds)[kind], 8).clip(18, 95).round(),
        "visits": rng.poisson(rng.uniform(1, 12, n_kinds)[kind]),
        "spent": rng.lognormal(rng.uniform(2.5, 4.5, n_kinds)[kind], 0.6).round(2),
        "payment": np.where(
            rng.random(n_customers) < 0.6,
            np.array(["cash", "card", "phone"])[payment[kind]],
            rng.choice(["cash", "card", "phone"], n_customers),
        ),
        "region": rng.choice(["north", "east", "south", "west"], n_customers),
        "satisfaction": rng.choice(["low", "medium", "high"], n_customers),
    }
)
bought = rng.random((n_customers, len(goods))) < habits[kind]
customers[goods] = np.where(bought, "yes", "no")
customers["left"] = rng.random(n_customers) < np.where(kind < 4, 0.85, 0.1)
for column in ("age", "payment", "satisfaction"):
    customers.loc[rng.random(n_customers) < 0.05, column] = None

folder = tempfile.TemporaryDirectory()
file = Path(folder.name, "customers.csv")
customers.to_csv(file, index=False)

# %%
# From here on, the file is all we have.

table = pd.read_csv(file)
y = table.pop("left")
print(table.iloc[:3, :10].to_string())
print(f"\n{len(table)} rows, {table.isna().any(axis=1).mean():.0%} with an empty cell")
X_train, X_test, y_train, y_test = train_test_split(
    table, y, test_size=0.3, stratify=y, random_state=0
)

# %%
# Values from 0 to 1
# ------------------
# Each kind of column has its way there:
#
# - Numbers: fill empty cells with the median, then replace a value by the share of rows
#   with a smaller one.  Outliers do no harm.
# - Categories: one column of zeros and ones for each category.  An empty cell counts as
#   one more category, and one that was never seen gets zeros.
# - Ordered answers: fill empty cells with the most frequent answer, then 0 for "low",
#   0.5 for "medium", 1 for "high".
# - Yes and no: fill empty cells in the same way, then 1 and 0.
#
# With ``set_output(transform="pandas")`` the names of columns reach the RBM.  A column
# that numbers the rows, such as a customer's number, is left out, and a date becomes
# its month or weekday, a category.

numbers = ["age", "visits", "spent"]
categories = ["payment", "region"]
ordered = ["satisfaction"]
answers = [["low", "medium", "high"]]
prepare = ColumnTransformer(
    [
        (
            "numbers",
            make_pipeline(
                SimpleImputer(strategy="median"),
                QuantileTransformer(n_quantiles=100, random_state=0),
            ),
            numbers,
        ),
        (
            "categories",
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            categories,
        ),
        (
            "ordered",
            make_pipeline(
                SimpleImputer(strategy="most_frequent"),
                OrdinalEncoder(categories=answers),
                MinMaxScaler(clip=True),
            ),
            ordered,
        ),
        (
            "yes or no",
            make_pipeline(
                SimpleImputer(strategy="most_frequent"),
                OneHotEncoder(
                    drop="if_binary", handle_unknown="ignore", sparse_output=False
                ),
            ),
            goods,
        ),
    ],
    verbose_feature_names_out=False,
).set_output(transform="pandas")

# %%
# Search, with and without an RBM
# -------------------------------
# The pipeline without an RBM has "passthrough" in its place, and is searched for the
# strength of its penalty.  Gradient boosting is hard to beat on tables, and shows how
# much there is to reach.

pipeline = Pipeline(
    [
        ("prepare", prepare),
        ("rbm", BinaryCDRBM(n_iter=60, random_state=0)),
        ("scale", StandardScaler()),
        ("classify", LogisticRegression(max_iter=5000)),
    ]
)
without_rbm = clone(pipeline).set_params(rbm="passthrough")
boosting = clone(pipeline).set_params(
    rbm="passthrough", classify=HistGradientBoostingClassifier(random_state=0)
)
candidates = {
    "RBM": (
        pipeline,
        {"rbm__learning_rate": [0.03, 0.1, 0.3], "rbm__n_components": [16, 32, 64]},
    ),
    "no RBM": (without_rbm, {"classify__C": [0.001, 0.01, 0.1, 1.0, 10.0]}),
    "boosting": (boosting, {"classify__learning_rate": [0.03, 0.1]}),
}
searches, summary = {}, {}
for name, (model, grid) in candidates.items():
    search = GridSearchCV(model, grid, cv=3, n_jobs=2).fit(X_train, y_train)
    searches[name] = search
    summary[name] = {
        "accuracy, folds": search.best_score_,
        "accuracy, test": search.score(X_test, y_test),
        "chosen": ", ".join(f"{k}={v}" for k, v in search.best_params_.items()),
    }
summary = pd.DataFrame.from_dict(summary, orient="index")
print(summary.round(3).to_string())

# %%
# With the RBM, a linear classifier does as well as gradient boosting.  Without, it can
# only add up what single columns say, and a kind of customer shows in no single column.

figure, ax = plt.subplots(figsize=(7, 2), layout="constrained")
for place, column in ((-0.1, "accuracy, folds"), (0.1, "accuracy, test")):
    ax.plot(summary[column], np.arange(3) + place, "o", ms=9, label=column)
ax.set(yticks=range(3), yticklabels=summary.index, ylim=(2.5, -0.5), xlabel="accuracy")
ax.grid(axis="x", alpha=0.4)
ax.legend()
plt.show()

# %%
# The model takes rows as they stand in the file, also with empty cells, and with a
# region that it has never seen:

new = table.head(2).assign(age=[np.nan, 30], region="abroad")
print("Probability to leave:", searches["RBM"].predict_proba(new)[:, 1].round(2))

# %%
# Which columns drive a hidden unit
# ---------------------------------
# Without ``shape``, ``FiltersDisplay`` draws the columns with the largest weights of
# each unit of the RBM in a pipeline.  Red bars switch a unit on, blue bars switch it
# off.  Weights are standardised: multiplied by the standard deviation of their column.
# We look at the six units that count most for the classifier.

best = searches["RBM"].best_estimator_
strongest = np.argsort(-np.abs(best["classify"].coef_[0]))[:6]
FiltersDisplay.from_estimator(best, order=strongest, n_bars=7)
plt.show()

# %%
# Has the RBM found the kinds of customers, which are not in the table?  We made the
# table, so we can check: how well does a unit tell one kind from the others?  An area
# under the ROC curve of 1 means perfectly, 0.5 not at all.  Units with an area near 1
# have found a kind.  Others describe something else.  A unit whose long bars are all of
# regions, some red and some blue, has learnt that a customer has only one region: how
# the encoder writes a category, and nothing about customers.

H = best["rbm"].transform(best["prepare"].transform(X_test))
true_kind = kind[X_test.index]
for unit in strongest:
    areas = [roc_auc_score(true_kind == k, H[:, unit]) for k in range(n_kinds)]
    print(f"unit {unit}: kind {np.argmax(areas)}, area {max(areas):.2f}")

# %%
# When not to use an RBM
# ----------------------
# Here the target depends on groups of rows that only many columns together show,
# because we made the table so.  Leave the RBM out
#
# - if the columns count each for itself: then it makes no difference, or a small loss,
#   as on the tables of :doc:`plot_features_or_raw`,
# - if there are few columns, or a few of them tell it all,
# - if you have to say what each column adds to a prediction,
# - and if the pipeline without it is as good on the same folds.

folder.cleanup()
