"""Restricted Boltzmann machines with binary units, for scikit-learn."""

from skrbm._estimator import BinaryCDRBM
from skrbm.exceptions import DataRangeWarning, DivergenceError

__version__ = "0.1.0"

__all__ = ["BinaryCDRBM", "DataRangeWarning", "DivergenceError", "__version__"]
