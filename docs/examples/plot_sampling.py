"""
==============================
Draw new digits from the model
==============================

A restricted Boltzmann machine (RBM) can be a density: a model that says how likely each
row is.  You can draw new rows from it.  This example trains a density on handwritten
digits, draws new digits, watches how a digit comes about, and then checks the model:
are its samples like the data, and how likely are digits that it has not seen?
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import BernoulliNB

from skrbm import BinaryCDRBM
from skrbm.metrics import log_likelihood, log_partition, sampling_diagnostics
from skrbm.plotting import SamplesDisplay

# %%
# Train a density, and draw from it
# ---------------------------------
# A density is about rows of zeros and ones, so we call a pixel "on" if it has more than
# half of the ink.  ``persistent=True`` is the setting for densities.  ``sample`` draws
# rows of zeros and ones from the trained model, and none starts from a digit of the
# data.  The display shows the probability that each pixel is on, which is smoother.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X > 7, y, test_size=500, stratify=y, random_state=0
)
rbm = BinaryCDRBM(64, persistent=True, n_iter=60, random_state=0).fit(X_train)
samples = SamplesDisplay.from_estimator(rbm, shape=(8, 8), random_state=0)

# %%
# How a digit comes about
# -----------------------
# A sample is the end of a Markov chain: a row that changes in many small steps.  In one
# Gibbs step the model draws hidden units that fit the row, and then a new row that fits
# those hidden units.  ``gibbs`` takes such steps.
#
# The upper three chains start from noise: pixels that are on as often as in the data,
# each by itself.  Within tens of steps they look like digits, and later they turn from
# one digit into another.  The lower three chains start from test digits.  For some
# steps they still resemble their start, so the steps of a chain are not samples of
# their own: ``sample`` takes 1000 steps for each.

steps = [0, 1, 2, 5, 10, 100, 1000]
rng = np.random.default_rng(0)
noise = rng.random((3, 64)) < X_train.mean(axis=0)
digits = X_test[[np.flatnonzero(y_test == label)[0] for label in (0, 3, 7)]]
states = np.concatenate([noise, digits])

figure, axes = plt.subplots(6, len(steps), figsize=(6.5, 5.6), layout="constrained")
for i, step in enumerate(steps):
    if step > 0:
        states = rbm.gibbs(states, step - steps[i - 1], random_state=i)
    for ax, image in zip(axes[:, i], states, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="Greys")
        ax.set(xticks=[], yticks=[])
    axes[0, i].set_title(f"step {step}", fontsize="medium")
for ax, start in zip(axes[:, 0], ["noise"] * 3 + ["digit"] * 3, strict=True):
    ax.set_ylabel(start)

# %%
# Can the samples be trusted?
# ---------------------------
# Digits fall into groups that chains do not leave easily.  So ``sample`` runs chains at
# several temperatures.  A hot chain sees a flatter copy of the model and moves freely.
# Neighbours in temperature exchange their rows now and then, and this takes fresh rows
# down to the model itself.
#
# ``sampling_diagnostics`` checks this.  ``trusted`` is its verdict.  ``n_round_trips``
# counts how often a chain went from the model to the hottest copy and back, forgetting
# where it came from.  The exchange rates say how often neighbours exchanged their rows.
# With the 5 temperatures of the default the samples pass, but the hottest neighbours
# hardly exchange anything, and few chains go round.  With 20 temperatures many do.
# Where it matters, draw with ``rbm.sample(1000, n_temperatures=20)``.

reports = {}
for n_temperatures in (5, 20):
    report = sampling_diagnostics(
        rbm, X_train, n_temperatures=n_temperatures, random_state=0
    )
    reports[n_temperatures] = report
    print(
        f"{n_temperatures} temperatures: trusted={report.trusted}, "
        f"n_round_trips={report.n_round_trips}, "
        f"lowest exchange rate {report.exchange_rates.min():.3f}"
    )

# %%
# On the left are the exchange rates of neighbours, from the hottest pair to the
# coldest.  On the right is how often each pixel is on in the samples and in the data: a
# good model is close to the diagonal.

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
for n_temperatures, report in reports.items():
    between = (report.betas[1:] + report.betas[:-1]) / 2
    label = f"{n_temperatures} temperatures"
    axes[0].plot(between, report.exchange_rates, "o-", label=label)
    axes[1].errorbar(
        report.row_mean,
        report.sample_mean,
        report.standard_error,
        fmt="o",
        ms=3,
        lw=1,
        label=label,
    )
axes[0].axhline(0.05, color="0.5", ls="--", label="below this, raise n_temperatures")
axes[0].set(xlabel="inverse temperature (1 is the model)", ylabel="exchanges per offer")
axes[1].axline((0, 0), slope=1, color="0.5", lw=1)
axes[1].set(xlabel="share of data with the pixel on", ylabel="share of samples")
for ax in axes:
    ax.legend(fontsize="small")

# %%
# How likely are unseen digits?
# -----------------------------
# The log-likelihood of a row is the logarithm of its probability, in nats.  It is the
# yardstick of densities: higher is better, and one nat more means 2.7 times as likely.
# It needs log Z, the logarithm of a sum over all 2^64 possible rows.  ``log_partition``
# estimates it in two ways.  One tends to be too low and the other too high, so trust
# them if they are close, as here:

log_z = log_partition(rbm, X_train, random_state=0)
print(f"log Z: {log_z.value:.2f} and {log_z.reverse:.2f}")

# %%
# We compare with two simple densities.  One takes all pixels to be independent.  The
# other takes them to be independent within each class of digits (naive Bayes).  It
# needs the labels for training, and the RBM does not.

held_out = {
    "RBM": log_likelihood(rbm, X_test, log_z=log_z),
    "ten classes": logsumexp(
        BernoulliNB().fit(X_train, y_train).predict_joint_log_proba(X_test), axis=1
    ),
    "independent pixels": BernoulliNB()
    .fit(X_train, np.zeros(len(X_train)))
    .predict_joint_log_proba(X_test)[:, 0],
}
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for name, values in held_out.items():
    error = values.std() / np.sqrt(len(values))
    print(f"{name}: {values.mean():.2f} +- {error:.2f} nats")
    label = f"{name}: mean {values.mean():.1f}"
    ax.hist(values, bins=np.arange(-50, 0, 1.5), alpha=0.6, label=label)
ax.set(xlabel="log-likelihood of a test digit (nats)", ylabel="digits")
ax.legend()
plt.show()
