"""Export to ONNX, for services that run models without Python or scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from skrbm._core.types import DType
from skrbm._estimator import BinaryCDRBM

__all__ = ["register_converter", "to_onnx"]

_ALIAS = "SkrbmBinaryCDRBM"


def to_onnx(model: Any, X: Any = None, **options: Any) -> Any:
    """Return a fitted model as an ONNX graph, with the results of `transform`.

    ONNX is a format for trained models.  ONNX Runtime and other programs run it on
    servers, in browsers and on phones, without Python or scikit-learn.  The graph takes
    rows and returns what the model does: features, or the labels and probabilities of a
    classifier.  The numbers agree with those of Python to about 1e-5.

    Parameters
    ----------
    model : BinaryCDRBM or Pipeline
        A fitted model, or any fitted estimator that holds one and that skl2onnx can
        convert: a pipeline, a column transformer, a grid search.
    X : array-like or pandas DataFrame, default=None
        A few rows, to tell the type of the input; their values do not matter.  A pandas
        data frame gives the graph one input for each column, of its name and type;
        anything else counts as an array, and gives it one input named "X".  None stands
        for an array of float32.
    **options : dict
        Further arguments of ``skl2onnx.to_onnx``, such as ``target_opset``, ``name`` or
        ``initial_types``.  ``options={"zipmap": True}`` turns the probabilities of a
        classifier into one dictionary per row, the default of skl2onnx; here they
        are an array, as those of `predict_proba`.

    Returns
    -------
    graph : onnx.ModelProto
        Write ``graph.SerializeToString()`` to a file to keep it.

    Raises
    ------
    ImportError
        If skl2onnx is not installed: ``pip install "skrbm[onnx]"``.
    NotFittedError
        If the model is not fitted.
    TypeError, ValueError
        If X is sparse, is not numeric or has another number of columns than the model.

    Notes
    -----
    The graph takes dense rows only.  It does not check them: where `transform` raises
    an error because a value is not finite, the graph returns a number or NaN.

    skl2onnx converts the other steps of a pipeline, not all of them in float64 too.
    If ONNX Runtime refuses a graph of float64 rows, give ``X.astype(np.float32)``.
    Compare a few rows before you rely on a graph, as below.

    Examples
    --------
    >>> import numpy as np
    >>> from onnxruntime import InferenceSession
    >>> from skrbm import BinaryCDRBM
    >>> from skrbm.onnx import to_onnx
    >>> X = np.array([[0, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1]])
    >>> rbm = BinaryCDRBM(n_components=2, random_state=0).fit(X)
    >>> graph = to_onnx(rbm, X)
    >>> session = InferenceSession(graph.SerializeToString())
    >>> (features,) = session.run(["features"], {"X": X})
    >>> bool(np.allclose(features, rbm.transform(X), atol=1e-5))
    True
    """
    register_converter()
    import skl2onnx

    check_is_fitted(model)
    if "initial_types" not in options:
        X = _example(model, X)
    if hasattr(model, "predict_proba"):
        options.setdefault("options", {"zipmap": False})
    return skl2onnx.to_onnx(model, X, **options)


def register_converter() -> None:
    """Tell skl2onnx how to convert a BinaryCDRBM.

    `to_onnx` does so itself.  Call this once before you call skl2onnx, or a tool that
    calls it, yourself.  Calling it again changes nothing.

    Raises
    ------
    ImportError
        If skl2onnx is not installed: ``pip install "skrbm[onnx]"``.

    Examples
    --------
    >>> from skrbm.onnx import register_converter
    >>> register_converter()
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError(
            'Export to ONNX needs skl2onnx. Run: pip install "skrbm[onnx]"'
        ) from error
    update_registered_converter(
        BinaryCDRBM, _ALIAS, _set_shape, _convert, parser=_parse
    )


def _example(model: Any, X: Any) -> Any:
    """Return the first row, by which skl2onnx tells the types of the input."""
    if X is None:
        rbm = isinstance(model, BinaryCDRBM)
        width = len(model.intercept_visible_) if rbm else model.n_features_in_
        return np.zeros((1, width), np.float32)
    if sparse.issparse(X):
        raise TypeError(
            "X is sparse, but an ONNX graph takes dense rows. Give one dense row, "
            "X[:1].toarray(): the graph returns for dense rows what the model returns "
            "for sparse ones."
        )
    if not hasattr(X, "iloc") or not all(isinstance(n, str) for n in X.columns):
        X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError(f"X must be rows, an array of 2 dimensions, not {X.ndim}.")
    return X[:1]


# -- what skl2onnx asks for: the outputs, their shape, the operations ----------------


def _parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    check_is_fitted(model)
    operator = scope.declare_local_operator(_ALIAS, model)
    operator.inputs = inputs
    features = scope.declare_local_variable("features", _type_of_features(inputs))
    operator.outputs.append(features)
    return operator.outputs


def _set_shape(operator: Any) -> None:
    n_hidden, n_visible = np.shape(operator.raw_operator.components_)
    widths = [variable.type.shape[1] for variable in operator.inputs]
    if None not in widths and sum(widths) != n_visible:
        raise ValueError(
            f"X has {sum(widths)} columns, but the model has {n_visible} visible units."
        )
    n_rows = operator.inputs[0].get_first_dimension()
    # Only now are the types of the input sure, in a pipeline.
    kind = _type_of_features(operator.inputs)
    kind.shape = [n_rows, n_hidden]
    operator.outputs[0].type = kind


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Write ``sigmoid(c + v'W)``, in the types that `transform` computes with."""
    from skl2onnx.algebra import onnx_ops

    opset = container.target_opset
    rbm = operator.raw_operator
    W, _, c = rbm._model()
    kind = _type_of_rows(operator.inputs)

    def node(name: str, *inputs: Any, **attributes: Any) -> Any:
        make = getattr(onnx_ops, f"Onnx{name}")
        return make(*inputs, op_version=opset, **attributes)

    def cast(x: Any, dtype: DType, **attributes: Any) -> Any:
        return node("Cast", x, to=_element_type(dtype), **attributes)

    # Runtimes compare numbers of these two types, which hold those of all others.
    wide = np.float32 if kind in (np.float16, np.float32) else np.float64
    v = [cast(variable, wide) for variable in operator.inputs]
    v = v[0] if len(v) == 1 else node("Concat", *v, axis=1)
    if rbm.handle_missing == "sample":
        raise ValueError(
            'ONNX cannot express handle_missing="sample". Set handle_missing="error", '
            "and fill gaps before the model, for instance by complete."
        )
    threshold = rbm._threshold()
    if threshold is not None:
        # As in numpy, floating point rows round the threshold to their type.
        with np.errstate(over="ignore"):
            rounded = np.atleast_1d(threshold).astype(
                kind if kind.kind == "f" else wide
            )
        v = node("Greater", v, rounded.astype(wide))
    a = node("Add", node("MatMul", cast(v, W.dtype), W), c)
    features = cast(
        node("Sigmoid", a),
        np.float64 if kind == np.float64 else np.float32,
        output_names=operator.outputs[:1],
    )
    features.add_to(scope, container)


def _type_of_rows(inputs: Sequence[Any]) -> np.dtype[Any]:
    """Return the type that numpy gives to an array of these columns."""
    from onnx.helper import tensor_dtype_to_np_dtype

    kinds = {
        tensor_dtype_to_np_dtype(variable.type.to_onnx_type().tensor_type.elem_type)
        for variable in inputs
    }
    return np.result_type(*kinds)


def _type_of_features(inputs: Sequence[Any]) -> Any:
    """Return the type of what `transform` returns for these columns, for skl2onnx."""
    from skl2onnx.common.data_types import (
        DoubleTensorType,
        FloatTensorType,
    )

    dtype = _type_of_rows(inputs)
    if dtype.kind not in "buif":
        raise TypeError(f"X holds {dtype}, but the model takes numbers.")
    return DoubleTensorType() if dtype == np.float64 else FloatTensorType()


def _element_type(dtype: DType) -> int:
    from onnx.helper import np_dtype_to_tensor_dtype

    return np_dtype_to_tensor_dtype(np.dtype(dtype))
