"""What displays ask of a model, which may be a step of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skrbm import BinaryCDRBM
from skrbm._core.rows import converted
from skrbm._core.types import Array, dense, is_sparse
from skrbm._validation import integer


def fitted_model(estimator: Any) -> BinaryCDRBM:
    """Return the fitted model itself, or that of a pipeline."""
    rbm, _ = _found(estimator)
    check_is_fitted(rbm)
    return rbm


def rows_for(estimator: Any, X: Any) -> Any:
    """Return X as it comes out of the steps before the model, in whatever type."""
    _, before = _found(estimator)
    for steps in before:
        X = steps.transform(X)
    return X.tocsr() if is_sparse(X) else X  # some sparse formats have no slices


def seen(rbm: BinaryCDRBM, X: Any) -> Array:
    """Return rows as the units of the model see them: dense, 0 or 1 if it says so."""
    return converted(dense(rbm._rows(X)), np.float64, rbm._threshold())


def column_names(estimator: Any) -> Array:
    """Return the names of the model's columns: its own, the pipeline's, or x0, x1..."""
    rbm, before = _found(estimator)
    names = None
    for steps in before:
        try:
            names = steps.get_feature_names_out(names)
        except (AttributeError, ValueError):  # a step that has no names to give
            names = None
    given = getattr(rbm, "feature_names_in_", names)
    if given is None:
        given = [f"x{i}" for i in range(rbm.components_.shape[1])]
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


def _found(estimator: Any) -> tuple[BinaryCDRBM, tuple[Pipeline, ...]]:
    """Return the model itself or that of a pipeline, and the steps before it."""
    found = list(_models_in(estimator, ()))
    last = estimator
    while isinstance(last, Pipeline):
        last = last[-1]
    if len(found) == 1 or isinstance(last, BinaryCDRBM):
        return found[-1]
    what = type(estimator).__name__
    if isinstance(estimator, Pipeline):
        what = f"a pipeline with {len(found) or 'none'}"
    raise TypeError(
        "A BinaryCDRBM is needed, or a pipeline with one or that ends in one, got "
        f"{what}." + (" Cut it off behind the one to draw: pipeline[:2]." * bool(found))
    )


def _models_in(
    estimator: Any, before: tuple[Pipeline, ...]
) -> Iterator[tuple[BinaryCDRBM, tuple[Pipeline, ...]]]:
    """Yield the models of a pipeline and of those in it, each with what is before."""
    if isinstance(estimator, BinaryCDRBM):
        yield estimator, before
    elif isinstance(estimator, Pipeline):
        for i, (_, step) in enumerate(estimator.steps):
            yield from _models_in(step, (*before, estimator[:i]) if i else before)
