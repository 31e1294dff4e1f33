"""Pictures of a fitted model: its weights, its samples, its training.

Each display is used like those of scikit-learn: ``from_estimator`` computes and draws,
and ``plot`` draws again.  They need matplotlib, which is imported when one is drawn.
"""

from skrbm.plotting._activation import ActivationDisplay
from skrbm.plotting._filters import FiltersDisplay
from skrbm.plotting._reconstruction import ReconstructionDisplay
from skrbm.plotting._samples import SamplesDisplay
from skrbm.plotting._training import TrainingDisplay

__all__ = [
    "ActivationDisplay",
    "FiltersDisplay",
    "ReconstructionDisplay",
    "SamplesDisplay",
    "TrainingDisplay",
]
