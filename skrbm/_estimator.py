"""The estimator: validate, train, expose."""

from __future__ import annotations

import contextlib
import copy
import functools
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import metadata
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import BernoulliRBM
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_array, check_is_fitted

import skrbm
from skrbm import _progress as progress
from skrbm._advice import warn_of_trouble
from skrbm._callbacks import CallbackSupportMixin, with_callbacks
from skrbm._core import missing
from skrbm._core.energy import visible_probabilities
from skrbm._core.missing import (
    Quantity,
    start_in_gaps,
)
from skrbm._core.mixing import is_stuck
from skrbm._core.operations import quiet, sigmoid
from skrbm._core.parameters import Parameters
from skrbm._core.rows import Selected, converted, map_rows, moments, pieces
from skrbm._core.sampling import GAPS, GIBBS, SAMPLE, Stream, bernoulli, gibbs_chain
from skrbm._core.tempering import Run, Tempering
from skrbm._core.threads import Workers, worth_sharing
from skrbm._core.training import Settings, TrainingState
from skrbm._core.types import Array, DType, Rows, dense, is_sparse
from skrbm._fitting import (
    Outcome,
    Task,
    counted,
    new_state,
    new_state_of,
    seen_rows,
    split,
    train,
    train_once,
)
from skrbm._hyperparameters import (
    DTYPE,
    MOST,
    RULES,
    auto_names,
    check_parameters,
    resolve,
    root_of,
    temperatures,
    workers_for,
)
from skrbm._measures import has_lost_groups, monitor_of, scores_of_few_rows
from skrbm._validation import (
    are_binary,
    check_rows,
    check_threshold,
    check_weights,
    integer,
    one_of,
    refuse_times,
    seed,
)
from skrbm._warnings import warn
from skrbm.exceptions import DivergenceError

Auto: TypeAlias = Literal["auto"]

# Steps, and rows, from which on it shows whether chains move between groups.
ENOUGH = 50

# Queries of models with up to so many weights run in double precision.
SMALL = 1 << 14

# Attributes that scikit-learn sets as soon as it has looked at X.
DESCRIBE_X = {"n_features_in_", "feature_names_in_"}

# Hyper-parameters that queries use.
USED_BY_QUERIES = ("binarize", "handle_missing", "n_jobs")

# Attributes that make a model.
PARAMETERS = ("components_", "intercept_hidden_", "intercept_visible_")

# Fitted attributes that `partial_fit` leaves alone.
OF_FIT = {"n_iter_", "kept_epoch_", "history_"}


class BinaryCDRBM(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Binary restricted Boltzmann machine (RBM) trained by contrastive divergence.

    Use it as a transformer, to learn binary features for a classifier, or with
    ``persistent=True`` as a density, to say how likely rows are, to draw new ones and
    to find odd ones.  The visible units v are the columns of X, and the hidden units h
    are the features::

        E(v, h)    = -v'Wh - b'v - c'h
        P(h=1 | v) = sigmoid(c + v'W)        P(v=1 | h) = sigmoid(b + Wh)
        F(v)       = -b'v - sum_j softplus(c_j + (v'W)_j)
        log p(v)   = -F(v) - log Z

    Training makes the rows of X more probable, and rows that the model makes up less.
    With contrastive divergence (CD-k [1]_), the default, the latter are k Gibbs steps
    away from the rows of X.  That gives good features, but the model may give most of
    its probability to rows that are unlike any in X.  Persistent chains [2]_ look
    everywhere: use them for densities.

    The defaults are meant to work as they stand; "auto" adapts to the data.  Search
    over `n_components` and `learning_rate` first.

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units, which are the features.  More can express more, and take
        longer.
    learning_rate : float or "auto", default="auto"
        Size of a training step.  Lower it if training diverges or units die; raise it
        if the score still rises at the end.  Search from 0.03 to 0.3.  "auto" falls
        with the number of hidden units, and is smaller for few rows.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch, after each of which the parameters change.  Larger ones
        make an epoch faster, and take more epochs.  "auto" is 10 for fewer than 5000
        rows, else 20.
    n_iter : int or "auto", default="auto"
        Epochs: passes over the rows.  Raise it if the score still rises at the end.
        "auto" is 20 from 1000 rows on, and up to 100 for fewer.
    n_gibbs_steps : int, default=1
        Gibbs steps of a training step, the k of CD-k.  More are slower, and bring the
        model nearer to a density.  Try ``persistent=True`` first.
    persistent : bool, default=False
        Whether to train with persistent chains [2]_: Markov chains that go on from one
        training step to the next, instead of starting at the data each time.  Choose it
        to model a distribution.
    n_chains : int or "auto", default="auto"
        Number of persistent chains, at all temperatures together.  More give a better
        density and take longer.  "auto" is 200, and down to 50 for more than 64 hidden
        units.
    n_temperatures : int or "auto", default="auto"
        Number of temperatures at which persistent chains stand [9]_.  Chains at
        neighbouring temperatures exchange their states, so that they move between
        separate groups of rows, and each group gets its share of the probability.
        Raise it, and `n_chains` with it, if `fit` warns of lost groups; 1 turns it off.
        "auto" is 5, and 1 for models of more than 32,768 weights or 500 columns.
    statistics : {"auto", "probabilities", "states"}, default="auto"
        Whether a training step uses the probabilities of the hidden units, or states
        drawn from them, and from values between 0 and 1.  Leave it on "auto" unless
        features of very small images look alike: then try "states".
    centered : bool, default=True
        Whether to subtract the means of the units in a training step [3]_.  It makes
        training more stable; there is hardly a reason to turn it off.
    momentum : float, default=0.0
        Share of the last step that is added to the next, in [0, 1).  With the averaged
        parameters (`average`) it is rarely needed.
    weight_decay : float or "auto", default="auto"
        Strength of the L2 penalty on the weights, ``weight_decay / 2 * sum(W**2)``.
        Raise it against overfitting.  "auto" is between 0.0005 and 0.001 for features,
        more for few rows, and 0 with persistent chains or sampled states.
    sparsity_target : float, default=0.1
        Share of rows in which a hidden unit should be on.
    sparsity_cost : float or "auto", default="auto"
        How strongly hidden units are pulled to `sparsity_target` (section 11 of [4]_).
        Raise it for sparser features; 0 turns it off.  "auto" is 0.3 for 500 units or
        more, less for fewer, and 0.01 with persistent chains.
    learning_rate_schedule : {"auto", "constant", "linear", "cosine"}, default="auto"
        How the learning rate falls, to 0 at the end of ``n_iter`` epochs: linearly or
        as half a cosine [7]_.  "auto" is constant, and linear with persistent chains.
    average : float, int, None or "auto", default="auto"
        Which average of the parameters along training is the model.  It takes out the
        noise of single steps.  A float in (0, 1) is the weight of a mini-batch in an
        exponential average [6]_, an integer k means the last k epochs [5]_, and None
        takes the parameters as they are.  "auto" is 0.002.
    weight_scale : float, default=0.01
        Standard deviation of the initial weights.
    visible_intercept_init : "logit" or float, default="logit"
        Start of the visible intercepts: the log-odds of the column means (section 8 of
        [4]_), or one value for all.
    hidden_intercept_init : float or "auto", default="auto"
        Start of the hidden intercepts.  Lower values make hidden units start sparse
        (section 8 of [4]_); raise it if units die.  "auto" is -2, and -1 with
        persistent chains.
    shuffle : bool, default=True
        Whether to visit the rows in a new order in every epoch.
    warm_start : bool, default=False
        Whether `fit` goes on from the model it finds instead of a new one.  With
        `early_stopping` that one is kept if no epoch is better.
    early_stopping : bool, default=False
        Whether to hold rows out, stop when their score no longer rises [8]_, and keep
        the best epoch.  The score is the log-likelihood where ``history_`` has it, and
        a rise counts beyond twice its error; else it is the pseudo-log-likelihood.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out, in (0, 1).
    n_iter_no_change : int, default=5
        Epochs without a better score that stop training.  Raise it, to 20 or so, for
        densities.
    tol : float, default=1e-4
        By how many nats a score must rise to count as better.
    binarize : float, "mean", array-like of shape (n_features,) or None, default=None
        Threshold above which a value counts as on: one for all columns, one for each,
        or "mean", the means of the columns in `fit`.  None takes values in [0, 1] as
        they are, as probabilities of being on.
    handle_missing : {"error", "sample"}, default="error"
        What NaN stands for: an error, or "sample", a value that was not observed.
        Training then draws it, given what was observed in its row and the model so far,
        each time anew.  Queries sum over its values: exactly for up to 10 hidden units
        or 6 gaps in a row, else by their mean field, which is rough.  Then rather fill
        the gaps by `complete` first.
    n_jobs : int or None, default=None
        Threads, for training and for queries, where these are large enough to gain
        by it.  None takes as many as BLAS may use, -1 all processors.  Never changes
        the result.
    verbose : int, default=0
        Whether training prints how it goes: what "auto" stands for, then each epoch
        with its scores (nats a row) and the time left.  For progress bars see
        ``set_callbacks`` (scikit-learn 1.9 or newer).
    random_state : int, RandomState instance or None, default=None
        Randomness of the initial weights, of the order of rows and of the Gibbs
        steps.  The same seed and the same data give the same bits.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Weights, W'.
    intercept_visible_ : ndarray of shape (n_features,)
        Visible intercepts, b.
    intercept_hidden_ : ndarray of shape (n_components,)
        Hidden intercepts, c.
    visible_mean_ : ndarray of shape (n_features,)
        Mean of the rows trained on, by their weights; what is missing is left out.
    resolved_params_ : dict of str to object
        What the hyper-parameters that may be "auto" stood for in the last call of `fit`
        or `partial_fit`.
    n_iter_ : int
        Epochs that the last call of `fit` ran; `partial_fit` does not set it.
    kept_epoch_ : int
        The epoch of the last `fit` that the model is from: `n_iter_`, or the best one
        with ``early_stopping``, where 0 is the model that a warm start found.
        `partial_fit` does not set it.
    history_ : dict of str to ndarray of shape (`n_iter_`,)
        Measures of every epoch of the last `fit`, NaN where there is none;
        `partial_fit` does not set it.

        - ``pseudo_log_likelihood``: mean score of a few fixed rows, in nats.
        - ``reconstruction_error``: mean squared, of the same rows.
        - ``validation_score``: mean score of the rows held out by early stopping, or of
          ``X_val``.
        - ``free_energy_gap``: mean free energy of held-out less training rows, in nats;
          the more it grows the more the model overfits.
        - ``log_likelihood`` and its standard error ``log_likelihood_error``: mean of
          rows held out, else of the few fixed ones, in nats; with persistent chains at
          several temperatures.
        - ``mean_activity``, ``dead_units``, ``saturated_units``: mean activity of the
          hidden units, and shares of those that are on, or off, in less than 0.1 % of
          the last rows (of 1000 or more).
        - ``relative_update``: norm of the change of the weights over their norm.
        - ``learning_rate``, ``seconds``.
    threshold_ : float, ndarray of shape (`n_features_in_`,) or None
        Above which values count as on: what `binarize` stood for.
    n_features_in_ : int
        Number of visible units.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X had any.

    See Also
    --------
    skrbm.metrics.log_likelihood : Log-likelihood of rows.
    sklearn.neural_network.BernoulliRBM : The estimator whose API this one follows.

    Notes
    -----
    Training is in single precision, with sums in double where it matters; so are
    queries, but for models of up to 16,384 weights, which take double precision.

    The original algorithm, one row at a time on sampled states, is the setting
    ``batch_size=1, statistics="states", centered=False, shuffle=False,
    learning_rate=0.1, learning_rate_schedule="constant", average=None,
    weight_decay=0, sparsity_cost=0, visible_intercept_init=0,
    hidden_intercept_init=0, n_iter=100``, for rows of zeros and ones.

    References
    ----------
    .. [1] G. Hinton (2002). Training products of experts by minimizing
       contrastive divergence. Neural Computation 14.
    .. [2] T. Tieleman (2008). Training restricted Boltzmann machines using
       approximations to the likelihood gradient. ICML.
    .. [3] J. Melchior, A. Fischer and L. Wiskott (2016). How to center deep
       Boltzmann machines. JMLR 17.
    .. [4] G. Hinton (2010). A practical guide to training restricted Boltzmann
       machines. UTML TR 2010-003.
    .. [5] B. Polyak and A. Juditsky (1992). Acceleration of stochastic
       approximation by averaging. SIAM J. Control Optim. 30.
    .. [6] D. Kingma and J. Ba (2015). Adam: a method for stochastic
       optimization. ICLR.
    .. [7] I. Loshchilov and F. Hutter (2017). SGDR: stochastic gradient descent
       with warm restarts. ICLR.
    .. [8] L. Prechelt (1998). Early stopping, but when? In: Neural networks:
       tricks of the trade. Springer.
    .. [9] G. Desjardins, A. Courville, Y. Bengio, P. Vincent and O. Delalleau (2010).
       Tempered Markov chain Monte Carlo for training of restricted Boltzmann
       machines. AISTATS.

    Examples
    --------
    >>> import numpy as np
    >>> from skrbm import BinaryCDRBM
    >>> X = np.array([[0, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1]])
    >>> rbm = BinaryCDRBM(n_components=2, random_state=0).fit(X)
    >>> rbm.transform(X).shape
    (4, 2)
    """

    def __init__(
        self,
        n_components: int = 256,
        *,
        learning_rate: float | Auto = "auto",
        batch_size: int | Auto = "auto",
        n_iter: int | Auto = "auto",
        n_gibbs_steps: int = 1,
        persistent: bool = False,
        n_chains: int | Auto = "auto",
        n_temperatures: int | Auto = "auto",
        statistics: Literal["auto", "probabilities", "states"] = "auto",
        centered: bool = True,
        momentum: float = 0.0,
        weight_decay: float | Auto = "auto",
        sparsity_target: float = 0.1,
        sparsity_cost: float | Auto = "auto",
        learning_rate_schedule: Literal[
            "auto", "constant", "linear", "cosine"
        ] = "auto",
        average: float | Auto | None = "auto",
        weight_scale: float = 0.01,
        visible_intercept_init: float | Literal["logit"] = "logit",
        hidden_intercept_init: float | Auto = "auto",
        shuffle: bool = True,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        binarize: Any = None,
        handle_missing: Literal["error", "sample"] = "error",
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.n_gibbs_steps = n_gibbs_steps
        self.persistent = persistent
        self.n_chains = n_chains
        self.n_temperatures = n_temperatures
        self.statistics = statistics
        self.centered = centered
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.sparsity_target = sparsity_target
        self.sparsity_cost = sparsity_cost
        self.learning_rate_schedule = learning_rate_schedule
        self.average = average
        self.weight_scale = weight_scale
        self.visible_intercept_init = visible_intercept_init
        self.hidden_intercept_init = hidden_intercept_init
        self.shuffle = shuffle
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.binarize = binarize
        self.handle_missing = handle_missing
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    # -- training ----------------------------------------------------------------

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, X_val: Any = None
    ) -> Self:
        """Train on the rows of X, ``n_iter`` times over.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Values in [0, 1], or any numbers where ``binarize`` is set.  Taken as
            they lie: only the mini-batch in hand is converted.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts.  An epoch visits as many rows as there are, each
            in proportion to its weight: 2 is like having the row twice, and 0 is like
            not having it.
        X_val : {array-like, sparse matrix} of shape (n_validation, n_features), \
                default=None
            Rows that are not trained on.  ``history_`` has their score, and early
            stopping goes by them instead of holding rows of X out.

        Returns
        -------
        self : BinaryCDRBM
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If a hyper-parameter has a wrong type or value, the learning rate times
            ``weight_decay`` is more than 1, or X is not numeric, holds NaN or
            infinity or, with ``warm_start``, does not match the fitted model.
        DivergenceError
            If a parameter stops being finite.  The last good epoch of this call is
            kept, the best one with ``early_stopping``; if it has none, the estimator
            stays as it was.
        KeyboardInterrupt
            If you press Ctrl-C.  A first fit keeps the last finished epoch, the best
            one with ``early_stopping``; an estimator that had a model stays as it was.
        """
        check_parameters(self)
        with workers_for(self.n_jobs) as workers:
            with self._as_it_was_on_error():
                task = self._task(
                    X, sample_weight, X_val, resume=self.warm_start, whole=True
                )
                outcome, error = self._train(task, X, y, workers)
                self.__dict__.update(self._fitted_attributes(outcome, task.settings))
            if error is not None:
                raise error
            lost = outcome.n_kept > 0 and has_lost_groups(
                task.rows, outcome.state, task.settings, workers
            )
            scores = scores_of_few_rows(
                task.rows, outcome.state, task.settings, outcome.n_iter
            )
            warn_of_trouble(outcome, task.settings, lost=lost, scores=scores)
        return self

    def partial_fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> Self:
        """Train on the rows of X once, going on from the present model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Any number of rows; more than ``batch_size`` are cut into mini-batches.
            "auto" follows the number of rows given so far, in which rows that are
            given again count again: set `batch_size`, `learning_rate` and
            `weight_decay` yourself to pass over the data several times.
            The learning rate is constant, whatever ``learning_rate_schedule``,
            no rows are held out, and ``history_`` is left alone.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each of these rows counts, as in `fit`.

        Returns
        -------
        self : BinaryCDRBM
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError, DivergenceError
            As in `fit`.
        """
        check_parameters(self)
        with self._as_it_was_on_error(), workers_for(self.n_jobs) as workers:
            task = self._task(X, sample_weight, None, resume=True, whole=False)
            outcome = train_once(task, workers)
            if self.verbose:
                monitor = monitor_of(task.rows, None, outcome.state, task.settings)
                score = monitor.measure(outcome.state).pseudo_log_likelihood
                seen = outcome.state.seen.n_rows
                progress.say(
                    f"{task.rows.X.shape[0]} rows, {seen} so far: "
                    f"pseudo-log-likelihood {score:.2f}"
                )
            attributes = self._fitted_attributes(outcome, task.settings)
            self.__dict__.update(
                {name: v for name, v in attributes.items() if name not in OF_FIT}
            )
        warn_of_trouble(outcome, task.settings)
        return self

    @contextlib.contextmanager
    def _as_it_was_on_error(self) -> Iterator[None]:
        """Leave what describes X as it was, with the model that it belongs to."""
        before = {name: v for name, v in vars(self).items() if name in DESCRIBE_X}
        try:
            yield
        except BaseException:
            for name in DESCRIBE_X:
                self.__dict__.pop(name, None)
            self.__dict__.update(before)
            raise

    def _task(
        self, X: Any, sample_weight: Any, X_val: Any, *, resume: bool, whole: bool
    ) -> Task:
        """Return what `fit` is to train, the whole of it, or `partial_fit`."""
        before = self._present_state() if resume and self._has_model() else None
        new = before is None
        X = self._checked(X, reset=new)
        weights = check_weights(sample_weight, X.shape[0])
        root = root_of(self.random_state) if before is None else before.root
        rows, valid = counted(X, weights), None
        if X_val is not None:
            valid = Selected(self._checked(X_val))
        elif whole and self.early_stopping:
            rows, valid = split(rows, self.validation_fraction, root)
        threshold = self._threshold(rows if new else None)
        for part in (rows, valid):
            if part is not None:
                check_threshold(threshold, part.X)
        seen = seen_rows(rows, threshold)
        if valid is not None:
            seen_rows(valid, threshold)  # which raises if it cannot be scored
        if before is not None:
            seen = before.seen.with_more(seen)
        settings = resolve(self, seen, X.shape[0] if whole else seen.n_rows)
        settings = replace(settings, threshold=threshold)
        if not whole:
            settings = replace(settings, learning_rate_schedule="constant", n_iter=1)
        if before is None:
            state = new_state(seen, root, settings)
        else:
            state = replace(before, seen=seen)
        return Task(rows, state, settings, valid, before)

    def _train(
        self, task: Task, X: Any, y: Any, workers: Workers
    ) -> tuple[Outcome, BaseException | None]:
        """Return what training came to, and the error that ended it early, if any.

        Callbacks are given X and y as they came.
        """
        settings, outcome = task.settings, task.start()
        say = progress.say if self.verbose else progress.be_silent
        began = time.perf_counter()
        given = {"estimator": self, "X": X, "y": y}

        def fitted() -> dict[str, Any]:
            return self._fitted_attributes(outcome, settings)

        fit = self._init_callback_context(max_subtasks=settings.n_iter)
        fit.call_on_fit_task_begin(**given)
        say(progress.parameters(_resolved(settings)))
        outcomes = train(task, workers)
        try:
            for _ in range(settings.n_iter):
                epoch = fit.subcontext(task_name="epoch")
                epoch.call_on_fit_task_begin(**given)
                outcome = next(outcomes)
                say(progress.epoch(outcome, settings, time.perf_counter() - began))
                stop = epoch.call_on_fit_task_end(
                    **given, reconstruction_attributes=fitted
                )
                if stop or outcome.stop:
                    break
            if outcome.n_kept < outcome.n_iter:
                say(f"epoch {outcome.n_kept} is kept")
            fit.call_on_fit_task_end(**given, reconstruction_attributes=fitted)
        except (DivergenceError, KeyboardInterrupt) as error:
            # A model that there was before is not given up for one cut short.
            if not outcome.n_kept or (
                isinstance(error, KeyboardInterrupt) and self._has_model()
            ):
                raise
            return outcome, error
        return outcome, None

    def _has_model(self) -> bool:
        return all(hasattr(self, name) for name in PARAMETERS)

    __sklearn_is_fitted__ = _has_model

    def _present_state(self) -> TrainingState:
        """Return the state to go on from, or from attributes that were set since."""
        if self._n_features_out != self.n_components:
            raise ValueError(
                f"n_components={self.n_components!r}, but the model to go on from has "
                f"{self._n_features_out}. Set it back, or fit with warm_start=False."
            )
        model = self._model(DTYPE)
        if not hasattr(self, "_state"):  # the parameters were set by hand
            return new_state_of(
                model, self._visible_mean(model), root_of(self.random_state)
            )
        kept: Any = self._state
        version = kept.get("version") if isinstance(kept, dict) else None
        if version != skrbm.__version__:
            by = f"skrbm {version}" if version else "another version of skrbm"
            raise ValueError(
                f"This model was trained by {by} and cannot be trained on by skrbm "
                f"{skrbm.__version__}. It still answers queries. To go on with it, use "
                "the version that trained it; or fit anew."
            )
        state = TrainingState.from_dict(kept["state"])
        if not all(map(np.array_equal, model, state.model())):
            return replace(state, parameters=model, average=None, velocity=None)
        return state

    def _fitted_attributes(
        self, outcome: Outcome, settings: Settings
    ) -> dict[str, Any]:
        """Return all that `fit` sets but what describes X."""
        state = outcome.state
        # Copies, for whoever changes an attribute in place.
        W, b, c = state.model().copy()
        return {
            # Arrays and numbers alone: other tools than pickle can save them.
            "_state": {"version": skrbm.__version__, "state": state.to_dict()},
            "components_": W.T,
            "intercept_visible_": b,
            "intercept_hidden_": c,
            "visible_mean_": state.seen.mean.copy(),
            "resolved_params_": _resolved(settings),
            "n_iter_": outcome.n_iter,
            "kept_epoch_": outcome.n_kept,
            "threshold_": settings.threshold,
            "history_": outcome.history,
        }

    # -- queries -----------------------------------------------------------------

    def _model(self, dtype: DType | None = None) -> Parameters:
        """Return the parameters in the type that queries use, or in another."""
        check_is_fitted(self)
        for name in USED_BY_QUERIES:
            RULES[name](name, getattr(self, name))
        W = np.asarray(self.components_).T
        b, c = np.asarray(self.intercept_visible_), np.asarray(self.intercept_hidden_)
        mean = np.asarray(getattr(self, "visible_mean_", np.zeros_like(b)))
        if not hasattr(self, "n_features_in_"):  # the parameters were set by hand
            self.n_features_in_ = b.size
        n_hidden, n_visible = self._n_features_out, self.n_features_in_
        shapes = W.T.shape, b.shape, c.shape, mean.shape
        allowed = (n_hidden, n_visible), (n_visible,), (n_hidden,), (n_visible,)
        if shapes != allowed:
            raise ValueError(
                "components_, intercept_visible_, intercept_hidden_ and visible_mean_ "
                f"have the shapes {shapes}, but a model of {n_visible} visible and "
                f"{n_hidden} hidden units has {allowed}. Set arrays of these shapes, "
                "or fit anew."
            )
        if dtype is None:
            # BLAS sums a row in an order that depends on where the row stands.  In
            # double precision nobody sees that, and a small model can afford it.
            dtype = np.float64 if W.size <= SMALL else DTYPE
        with np.errstate(over="ignore"):
            model = Parameters(W, b, c).astype(dtype)
        finite = model.is_finite() and np.isfinite(mean).all()
        if not get_config()["assume_finite"] and not finite:
            raise ValueError(
                "components_, an intercept or visible_mean_ is not finite, or too "
                f"large for {model.W.dtype}. Fit anew."
            )
        return model

    @property
    def _n_features_out(self) -> int:
        return len(self.intercept_hidden_)

    def _visible_mean(self, model: Parameters) -> Array:
        """Return the mean of the rows trained on, or of a model without weights."""
        if hasattr(self, "visible_mean_"):
            return np.asarray(self.visible_mean_).astype(model.W.dtype)
        return sigmoid(model.b.copy())

    def _checked(
        self,
        X: Any,
        *,
        reset: bool = False,
        gaps: bool = False,
        ranged: bool = True,
        finite: bool = True,
    ) -> Rows:
        """Return rows that have passed the checks which need no threshold."""
        return check_rows(
            self,
            X,
            reset=reset,
            gaps=gaps or self.handle_missing == "sample",
            ranged=ranged and self.binarize is None,
            finite=finite,
        )

    def _threshold(self, new: Selected | None = None) -> float | Array | None:
        """Return the threshold above which values count as on, learnt from new rows."""
        if self.binarize is None:
            return None
        if not isinstance(self.binarize, str):
            threshold = np.asarray(self.binarize, np.float64)
            return threshold if threshold.ndim else float(self.binarize)
        if new is not None:
            return moments(new, None).mean
        learnt: Any = getattr(self, "threshold_", None)
        if np.ndim(learnt) != 1:
            raise ValueError(
                'binarize="mean" has no means yet: fit, or set binarize to thresholds.'
            )
        return np.asarray(learnt)

    def _rows(self, X: Any, *, ranged: bool = True, finite: bool = True) -> Rows:
        """Return rows for a query."""
        X = self._checked(X, ranged=ranged, finite=finite)
        check_threshold(self._threshold(), X)
        return X

    def _map(self, quantity: Quantity, X: Rows, out: Array) -> Array:
        """Write a quantity of the rows of X to those of ``out``, or say why not."""
        model, gaps = quantity.model, self.handle_missing == "sample"
        with workers_for(self.n_jobs) as workers:
            map_rows(
                quantity if gaps else quantity.whole,
                X,
                out,
                model.W.dtype,
                self._threshold(),
                model.W.size,
                workers,
                terms_a_weight=quantity.terms_a_weight,
            )
        return self._found_finite(X, out, model, gaps=gaps)

    def _found_finite(
        self, X: Rows, out: Array, model: Parameters, *, gaps: bool
    ) -> Array:
        """Return results, or say why they are no numbers."""
        # What is not finite in X leaves no finite score and no feature between 0 and 1
        # in its row: one column tells whether to look at them all.
        if out.ndim == 1:
            first, low, high = out, -np.inf, np.inf
        else:
            first, low, high = out[:, 0], 0, 1
        if not ((first > low) & (first < high)).all():
            name = type(self).__name__
            assert_all_finite(X, allow_nan=gaps, estimator_name=name, input_name="X")
            if not np.isfinite(out).all() and not get_config()["assume_finite"]:
                raise ValueError(
                    f"X has values too large for {model.W.dtype}. Scale them to [0, 1]."
                )
        return out

    def transform(self, X: Any) -> Array:
        """Return the hidden activations ``P(h=1 | v) = sigmoid(c + v'W)`` of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.

        Returns
        -------
        H : ndarray of shape (n_samples, n_components)
            Probabilities; float64 if X is, else float32.

        Raises
        ------
        NotFittedError
            If there is no model.
        TypeError, ValueError
            If X does not match the model, is not numeric or not finite, or so large
            that a result is not a number; or if a parameter is not finite or has
            another shape.
        """
        return self._transform(X)

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Array:
        """Train on the rows of X, and return their hidden activations.

        ``fit(X, y, **fit_params).transform(X)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.
        y : None
            Ignored.
        **fit_params : dict
            Further arguments of `fit`.

        Returns
        -------
        H : ndarray of shape (n_samples, n_components)
            Probabilities; float64 if X is, else float32.

        Raises
        ------
        TypeError, ValueError, DivergenceError, KeyboardInterrupt
            As in `fit`.
        """
        self.fit(X, y, **fit_params)  # which warns of values out of range
        return self._transform(X, ranged=False)

    def _transform(self, X: Any, *, ranged: bool = True) -> Array:
        model = self._model()
        # To look through X for what is not finite would take a twentieth of the time.
        # Such a value leaves no feature of its row between 0 and 1, see below; but a
        # single weight of 0 is multiplied by without a look at the rows.
        X = self._rows(
            X, ranged=ranged, finite=self.binarize is not None or model.W.size == 1
        )
        out = np.empty((X.shape[0], len(model.c)), _floating_type(X))
        return self._map(missing.features(model), X, out)

    def inverse_transform(self, X: Any) -> Array:
        """Return ``P(v=1 | h) = sigmoid(b + Wh)`` for each row of hidden units.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Hidden states or activations, in [0, 1].

        Returns
        -------
        V : ndarray of shape (n_samples, n_features)
            Probabilities; float64 if X is, else float32.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As in `transform`.
        """
        model = self._model()
        H = check_array(X, input_name="X")
        refuse_times(H)
        if H.shape[1] != len(model.c):
            raise ValueError(
                f"X has {H.shape[1]} columns, but the model has {len(model.c)} hidden "
                "units. Give what transform returned."
            )
        out = np.empty((H.shape[0], len(model.b)), _floating_type(H))
        with workers_for(self.n_jobs) as workers:
            map_rows(
                lambda h, out: visible_probabilities(model, h, out),
                H,
                out,
                model.W.dtype,
                None,
                model.W.size,
                workers,
            )
        return self._found_finite(H, out, model, gaps=False)

    def reconstruct(self, X: Any) -> Array:
        """Return each row as the model sees it, ``P(v=1 | h=P(h=1 | v))``.

        ``inverse_transform(transform(X))``, up to rounding.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.

        Returns
        -------
        V : ndarray of shape (n_samples, n_features)
            Probabilities; float64 if X is, else float32.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As in `transform`.
        """
        model, X = self._model(), self._rows(X)
        out = np.empty(X.shape, _floating_type(X))
        return self._map(missing.reconstructions(model), X, out)

    def free_energy(self, X: Any) -> Array:
        """Return ``F(v) = -b'v - sum_j softplus(c_j + (v'W)_j)`` of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.

        Returns
        -------
        F : ndarray of shape (n_samples,)
            Free energies in nats; ``log p(v) = -F(v) - log Z``.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As in `transform`.
        """
        model, X = self._model(), self._rows(X)
        return self._map(missing.free_energies(model), X, np.empty(X.shape[0]))

    def score_samples(self, X: Any) -> Array:
        """Return the exact pseudo-log-likelihood of each row.

        ``sum_i log P(v_i | all other units of v)``, without sampling; a row's score
        does not depend on the other rows.  With v^i for v with v_i replaced by
        1 - v_i, a term is ``-log(1 + exp(F(v) - F(v^i)))``.  That also defines the
        score of values between 0 and 1, of which it is no log-probability.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Pseudo-log-likelihoods in nats.  They need no log Z, and equal the
            log-likelihood where visible units are independent of each other.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As in `transform`.
        """
        model, X = self._model(), self._rows(X)
        return self._map(missing.scores(model), X, np.empty(X.shape[0]))

    def score(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> float:
        """Return the mean of `score_samples`, in nats; higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts in the mean.

        Returns
        -------
        score : float
            Mean pseudo-log-likelihood.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As in `transform`.
        """
        scores = self.score_samples(X)
        weights = check_weights(sample_weight, len(scores))
        return float(np.average(scores, weights=weights))

    def gibbs(
        self,
        v: Any,
        n_steps: int = 1,
        *,
        n_temperatures: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> Array:
        """Take Gibbs steps from given rows: h ~ P(h | v), then v ~ P(v | h).

        Parameters
        ----------
        v : {array-like, sparse matrix} of shape (n_samples, n_features) or \
                array-like of shape (n_features,)
            Rows of visible units to start from, or one row.
        n_steps : int, default=1
            Number of steps.
        n_temperatures : int, default=1
            With more than one, each row starts that many chains, at several
            temperatures, which exchange their states as in `sample`.
        random_state : int, RandomState instance or None, default=None
            Randomness of this call.  None takes numpy's global generator and not
            the estimator's own seed, with which the calls of a loop would all
            draw the same numbers.

        Returns
        -------
        v_new : ndarray of bool of shape (n_samples, n_features) or (n_features,)
            Visible states after the last step, in the shape of v.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As in `transform`, or if an argument is not allowed.
        """
        model = self._model()
        if not is_sparse(v) and np.ndim(v) == 1:
            # A row of a pandas frame keeps the names of its columns.
            row = v.to_frame().T if hasattr(v, "iloc") else np.reshape(v, (1, -1))
            return self.gibbs(
                row,
                n_steps,
                n_temperatures=n_temperatures,
                random_state=random_state,
            )[0]
        v = self._rows(v)
        integer(1)("n_steps", n_steps)
        integer(1, MOST)("n_temperatures", n_temperatures)
        seed("random_state", random_state)
        root = root_of(random_state)
        if n_temperatures == 1:
            return self._chains(model, v, n_steps, root)
        start = self._starts(model, v, Stream(root, GAPS))
        run, _ = self._ladders(model, start, int(n_temperatures), n_steps, root, GIBBS)
        return run.v.astype(bool)

    def complete(
        self,
        X: Any,
        *,
        method: Literal["mean", "sample"] = "mean",
        n_gibbs_steps: int = 1000,
        random_state: int | np.random.RandomState | None = None,
    ) -> Array:
        """Fill the gaps of rows, by what is probable given the rest of the row.

        Use it for values that are missing (NaN), whether the model was trained with or
        without them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units, with NaN in their gaps, whatever ``handle_missing``.
        method : {"mean", "sample"}, default="mean"
            "mean" fills in the probability of being on, given what was observed;
            "sample" draws zeros and ones that go with each other.
        n_gibbs_steps : int, default=1000
            Gibbs steps that draw the gaps of a row.  Means are exact, without any, for
            models of up to 10 hidden units and rows of up to 6 gaps.  200 steps are
            nearly as good.
        random_state : int, RandomState instance or None, default=None
            Randomness of this call; None takes that of the estimator.

        Returns
        -------
        V : ndarray of shape (n_samples, n_features)
            X with its gaps filled, after ``binarize`` where that is set; float64 if X
            is, else float32.  The model knows of no categories: of the columns of a
            one-hot encoder two may be on.  With "mean" take the most probable one.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As in `transform`, or if an argument is not allowed.
        """
        model = self._model()
        one_of("mean", "sample")("method", method)
        integer(1)("n_gibbs_steps", n_gibbs_steps)
        if random_state is None:
            random_state = self.random_state
        seed("random_state", random_state)
        X = self._checked(X, gaps=True)
        threshold = self._threshold()
        check_threshold(threshold, X)
        root, out = root_of(random_state), np.empty(X.shape, _floating_type(X))

        @quiet
        def _fill(rows: slice) -> None:
            given = dense(X[rows])
            v = converted(given, model.W.dtype, threshold)
            rng, mean = Stream(root, GAPS, rows.start), method == "mean"
            out[rows] = missing.filled(
                model, v, n_gibbs_steps, rng, workers.steps, mean=mean
            )
            if threshold is None:  # as they came: the model may be in single precision
                np.copyto(out[rows], given, where=~np.isnan(v))

        n_weights = model.W.size
        share = worth_sharing(X.shape[0] * n_gibbs_steps * n_weights, n_weights)
        with workers_for(self.n_jobs) as workers:
            workers.map(_fill, pieces(X.shape[0], n_weights), share=share)
        if not np.isfinite(out).all():
            raise ValueError(
                f"X has values too large for {model.W.dtype}. Scale them to [0, 1]."
            )
        return out

    def sample(
        self,
        n_samples: int = 1,
        *,
        given: Any = None,
        n_gibbs_steps: int = 1000,
        n_temperatures: int | Auto = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> Array:
        """Draw rows from the model, each from Markov chains of its own.

        Chains start from independent units, on as often as in the training rows,
        and take ``n_gibbs_steps`` steps.  Each row has chains at several temperatures
        that exchange their states, so that separate groups of rows come in their
        shares; the first half of the steps spaces the temperatures.  How many steps it
        takes depends on the model: `skrbm.metrics.sampling_diagnostics` tells.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        given : array-like of shape (n_features,), default=None
            Values to hold, with NaN for the units to draw given these.  Chains then
            take plain Gibbs steps.
        n_gibbs_steps : int, default=1000
            Length of each chain.
        n_temperatures : int or "auto", default="auto"
            Number of temperatures; 1 takes plain Gibbs steps.  "auto" is as for
            training: 5, and 1 for large models.
        random_state : int, RandomState instance or None, default=None
            Randomness of this call; None takes that of the estimator.

        Returns
        -------
        V : ndarray of bool of shape (n_samples, n_features)
            Visible states.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            If there is no model, a parameter is not finite or has another shape, or an
            argument is not allowed.

        Warns
        -----
        ConvergenceWarning
            If chains stay in separate groups of rows: how many rows come from each is
            then a matter of where the chains started.
        """
        model = self._model()
        integer(1)("n_samples", n_samples)
        integer(1)("n_gibbs_steps", n_gibbs_steps)
        RULES["n_temperatures"]("n_temperatures", n_temperatures)
        if random_state is None:
            random_state = self.random_state
        seed("random_state", random_state)
        if given is not None:
            if np.ndim(given) != 1:
                raise ValueError(
                    "given must be one row of shape (n_features,), got "
                    f"{np.ndim(given)} dimensions."
                )
            rows = np.tile(np.asarray(given), (n_samples, 1))
            if hasattr(given, "iloc"):
                rows = given.to_frame().T
                rows = rows.loc[rows.index.repeat(n_samples)]
            if self.binarize is None:
                held = self._checked(rows, gaps=True, ranged=False)
                if not are_binary(held):
                    raise ValueError(
                        "given must hold 0, 1 or NaN. Set binarize to a threshold, or "
                        "draw values between 0 and 1 first."
                    )
            return self.complete(
                rows,
                method="sample",
                n_gibbs_steps=n_gibbs_steps,
                random_state=random_state,
            ).astype(bool)
        root = root_of(random_state)
        if n_temperatures == "auto":
            n_temperatures = temperatures(*model.W.shape)
        start = self._visible_mean(model)
        p = np.tile(start, (n_samples, 1))
        v = bernoulli(p, Stream(root, SAMPLE)).astype(p.dtype)
        run, _ = self._ladders(
            model, v, int(n_temperatures), n_gibbs_steps, root, SAMPLE
        )
        if min(n_samples, n_gibbs_steps) >= ENOUGH and is_stuck(run):
            warn(
                f"The chains stayed in separate groups of rows for {n_gibbs_steps} "
                "steps: how many rows come from each group is not what the model says. "
                "Use more n_gibbs_steps, or more temperatures than "
                f"n_temperatures={n_temperatures}.",
                ConvergenceWarning,
            )
        return run.v.astype(bool)

    def _ladders(
        self,
        model: Parameters,
        v: Array,
        n_temperatures: int,
        n_steps: int,
        root: int,
        purpose: int,
        *,
        record: bool = False,
    ) -> tuple[Run, Array]:
        """Run ladders from rows v, half of the time to space their temperatures.

        Return these too.
        """
        betas = np.linspace(0, 1, n_temperatures) if n_temperatures > 1 else np.ones(1)
        n_rounds = 5 if n_steps >= ENOUGH else 0
        with workers_for(self.n_jobs) as workers:
            ladders = Tempering(model, betas, v, root, purpose, workers)
            ladders.adapt(n_rounds, n_steps // 10)
            n_left = n_steps - n_rounds * (n_steps // 10)
            return ladders.run(n_left, record=record), ladders.betas

    # -- coming and going --------------------------------------------------------

    @classmethod
    def from_bernoulli_rbm(cls, rbm: BernoulliRBM) -> Self:
        """Return a model with the weights of scikit-learn's `BernoulliRBM`.

        Use it to score, sample or go on training a model that you already have.  The
        probabilities of the two models are the same.  Hyper-parameters of the same name
        are taken over, with ``persistent=True``, since `BernoulliRBM` always trains
        with persistent chains.

        Parameters
        ----------
        rbm : BernoulliRBM
            A fitted model.

        Returns
        -------
        model : BinaryCDRBM
            The same model; its parameters are copies.

        Raises
        ------
        TypeError
            If ``rbm`` is not a `BernoulliRBM`.
        NotFittedError
            If it is not fitted.

        See Also
        --------
        to_bernoulli_rbm : The way back.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.neural_network import BernoulliRBM
        >>> from skrbm import BinaryCDRBM
        >>> X = np.array([[0, 1, 1], [1, 0, 1]])
        >>> theirs = BernoulliRBM(n_components=2, random_state=0).fit(X)
        >>> ours = BinaryCDRBM.from_bernoulli_rbm(theirs)
        >>> bool(np.allclose(ours.transform(X), theirs.transform(X)))
        True
        """
        if not isinstance(rbm, BernoulliRBM):
            raise TypeError(
                "from_bernoulli_rbm takes a BernoulliRBM of scikit-learn, got "
                f"{type(rbm).__name__}. Take the last step of a pipeline by [-1]."
            )
        check_is_fitted(rbm)
        shared = rbm.get_params() | {"n_components": len(rbm.components_)}
        model = cls(**shared, persistent=True)
        for name in (*PARAMETERS, *DESCRIBE_X):
            if hasattr(rbm, name):
                setattr(model, name, copy.copy(getattr(rbm, name)))
        return model

    def to_bernoulli_rbm(self) -> BernoulliRBM:
        """Return the model as scikit-learn's `BernoulliRBM`.

        Use it where a model has to be loaded without skrbm.  The probabilities of the
        two models are the same.

        Returns
        -------
        rbm : BernoulliRBM
            The same model; its parameters are copies.  It can be trained on, from
            chains that start at zeros, with the learning rate and the batches of this
            one, or its own defaults where this one was not trained.

        Raises
        ------
        NotFittedError
            If there is no model.
        ValueError
            If ``binarize`` is set, which `BernoulliRBM` does not have.

        See Also
        --------
        from_bernoulli_rbm : The way back.
        """
        self._model()  # which checks it
        if self.binarize is not None:
            raise ValueError(
                f"A BernoulliRBM has no binarize={self.binarize!r}. Set binarize=None "
                "here, and turn X into zeros and ones before it: for one threshold by "
                "sklearn.preprocessing.Binarizer."
            )
        names = {"learning_rate", "batch_size", "n_iter"}
        trained = getattr(self, "resolved_params_", {})
        rbm = BernoulliRBM(
            self._n_features_out,
            random_state=self.random_state,
            verbose=self.verbose,
            **{name: value for name, value in trained.items() if name in names},
        )
        for name in (*PARAMETERS, *DESCRIBE_X):
            if hasattr(self, name):
                setattr(rbm, name, copy.copy(getattr(self, name)))
        rbm.h_samples_ = np.zeros((rbm.batch_size, rbm.n_components))
        rbm._n_features_out = rbm.n_components  # noqa: SLF001  (as its `fit` does)
        return rbm

    def _starts(self, model: Parameters, v: Rows, rng: Stream) -> Array:
        """Return rows for chains to start from: dense, zeros and ones, no gaps."""
        v = converted(dense(v), model.W.dtype, self._threshold())
        return start_in_gaps(v, self._visible_mean(model), rng)

    def _chains(self, model: Parameters, v: Rows, n_steps: int, root: int) -> Array:
        """Return the states after so many Gibbs steps from v."""

        @quiet
        def run(rows: slice) -> Array:
            rng = Stream(root, GIBBS, rows.start)
            start = self._starts(model, v[rows], rng)
            return gibbs_chain(model, start, n_steps, rng, workers).astype(bool)

        n_rows, n_weights = v.shape[0], model.W.size
        share = worth_sharing(n_rows * n_steps * n_weights, n_weights)
        with workers_for(self.n_jobs) as workers:
            parts = workers.map(run, pieces(n_rows, n_weights), share=share)
            return np.concatenate(parts)

    # The HTML representation links to the documentation, and says what parameters are.
    _doc_link_module = "skrbm"

    @property
    def _doc_link_template(self) -> str:
        page = "generated/{estimator_module}.{estimator_name}.html"
        return _documentation() + page

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.handle_missing == "sample"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@functools.cache
def _documentation() -> str:
    """Return where the documentation stands, as the package's metadata have it."""
    urls = metadata("skrbm").get_all("Project-URL", [])
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Documentation", "")


def _resolved(settings: Settings) -> dict[str, Any]:
    """Return what the hyper-parameters that may be "auto" stood for."""
    return {name: getattr(settings, name) for name in auto_names(settings)}


def _floating_type(X: Rows) -> DType:
    """Return the type of results for X: its own if double, else single precision."""
    # The other byte order is another dtype, but the same type.
    return np.float64 if X.dtype.type is np.float64 else np.float32
