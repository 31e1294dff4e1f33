"""What displays ask of a model, which may be at the end of a pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skrbm import BinaryCDRBM
from skrbm._core.rows import converted
from skrbm._core.types import Array, dense, is_sparse
from skrbm._validation import check_rows, integer
from skrbm.metrics import _last_step


def fitted_model(estimator: Any) -> BinaryCDRBM:
    """Return the fitted model itself, or at the end of a pipeline."""
    rbm, _ = _last_step(estimator, None)
    check_is_fitted(rbm)
    return rbm


def rows_for(estimator: Any, X: Any) -> Any:
    """Return X as it comes out of the steps before the model, in whatever type."""
    _, X = _last_step(estimator, X)
    return X.tocsr() if is_sparse(X) else X  # some sparse formats have no slices


def seen(rbm: BinaryCDRBM, X: Any) -> Array:
    """Return rows as the units of the model see them: dense, 0 or 1 if it says so."""
    X = check_rows(rbm, X, reset=False, binarize=rbm.binarize, ranged=False)
    return converted(dense(X), np.float64, rbm.binarize)


def column_names(estimator: Any) -> Array:
    """Return the names of the model's columns: its own, the pipeline's, or x0, x1..."""
    names = None
    while isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            try:
                names = estimator[:-1].get_feature_names_out(names)
            except (AttributeError, ValueError):  # a step that has no names to give
                names = None
        estimator = estimator[-1]
    given = getattr(estimator, "feature_names_in_", names)
    if given is None:
        given = [f"x{i}" for i in range(estimator.components_.shape[1])]
    return np.asarray(given, dtype=object)


def check_shape(shape: Any, n_features: int) -> tuple[int, int]:
    """Return the height and width of pictures, if they have ``n_features`` pixels."""
    try:
        height, width = shape
    except (TypeError, ValueError) as error:
        raise ValueError(
            "shape must be the height and the width of a picture, for instance "
            f"(8, 8), got {shape!r}."
        ) from error
    for side in (height, width):
        integer(1)("shape", side)
    if height * width != n_features:
        raise ValueError(
            f"shape={shape!r} has {height * width} pixels, but the model has "
            f"{n_features} columns. Give a shape with as many pixels."
        )
    return int(height), int(width)
