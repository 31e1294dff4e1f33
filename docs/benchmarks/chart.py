"""Draw docs/images/figures.svg from the tables of the page of figures."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

HERE = Path(__file__).parent
COLOURS = ["#0072b2", "#e69f00", "#888888"]  # which the colour-blind tell apart


def table(text, heading):
    """Return the rows of the first table under a heading: names, and numbers."""
    lines = text.split(f"## {heading}")[1].split("\n\n")[2].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    numbers = [
        [float(re.match(r"-?[\d.]+", cell)[0]) for cell in row[1:]] for row in cells
    ]
    return [row[0] for row in cells], np.array(numbers)


text = (HERE / "README.md").read_text()
plt.rcParams.update({"svg.hashsalt": "skrbm", "font.size": 9})
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.4), width_ratios=[3, 2], layout="constrained"
)

names, values = table(text, "Likelihood")
tuned, persistent, default = values.T
order = np.argsort(persistent - tuned)
for gain, colour, label in (
    (persistent - tuned, COLOURS[0], "skrbm, persistent=True"),
    (default - tuned, COLOURS[1], "skrbm, default (CD-1)"),
):
    left.plot(gain[order], range(len(names)), "o", color=colour, label=label)
left.axvline(0, color=COLOURS[2], label="BernoulliRBM, tuned")
left.set(
    yticks=range(len(names)),
    yticklabels=np.array(names)[order],
    xlabel="gain in log-likelihood of a test row (nats)",
    title="Densities, 16 hidden units, untuned",
)
left.legend(loc="lower right")

names, values = table(text, "Features")
for column, (label, colour, marker) in enumerate(
    zip(["skrbm", "BernoulliRBM", "raw input"], COLOURS, "osD", strict=True)
):
    right.plot(
        values[::-1, column], range(len(names)), marker, color=colour, label=label
    )
right.set(
    yticks=range(len(names)),
    yticklabels=[name.replace(", ", ",\n") for name in names[::-1]],
    ylim=(-0.5, len(names) - 0.5),
    xlabel="accuracy of a linear classifier (%)",
    title="Features, 256 hidden units",
)
right.legend(loc="upper left")
for ax in (left, right):
    ax.grid(axis="y", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig(HERE.parent / "images" / "figures.svg", metadata={"Date": None})
