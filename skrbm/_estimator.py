"""The estimator: validate, train, expose."""

from __future__ import annotations

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_array, check_is_fitted, check_random_state

from skrbm import _fitting
from skrbm._core import energy
from skrbm._core.blocks import converted, map_rows
from skrbm._core.parameters import Parameters
from skrbm._core.sampling import bernoulli, generator, gibbs_chain
from skrbm._core.threads import Crew, usable_threads
from skrbm._core.training import SAMPLE
from skrbm._hyperparameters import check_parameters, training_settings
from skrbm._validation import check_rows, integer


class BinaryCDRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """DOC"""

    def __init__(
        self,
        n_components=256,
        *,
        learning_rate=0.1,
        batch_size=10,
        n_iter=10,
        n_gibbs_steps=1,
        persistent=False,
        n_chains=100,
        statistics="probabilities",
        centered=True,
        momentum=0.0,
        weight_decay=0.0,
        sparsity_target=0.1,
        sparsity_cost=0.0,
        learning_rate_schedule="auto",
        average="auto",
        weight_scale=0.01,
        visible_intercept_init="logit",
        hidden_intercept_init=-2.0,
        shuffle=True,
        warm_start=False,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        tol=1e-4,
        binarize=None,
        n_jobs=None,
        verbose=0,
        random_state=None,
    ):
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.n_gibbs_steps = n_gibbs_steps
        self.persistent = persistent
        self.n_chains = n_chains
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
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    # -- training ----------------------------------------------------------------

    def fit(self, X, y=None):
        """Train on the rows of X, ``n_iter`` times over.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Values in [0, 1], or any numbers where ``binarize`` is set.  Taken as
            they lie: only the mini-batch in hand is converted.
        y : None
            Ignored.

        Returns
        -------
        self : BinaryCDRBM
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If a hyper-parameter has a wrong type or value, or X is not numeric,
            holds NaN or infinity or, with ``warm_start``, does not match the
            fitted model.
        DivergenceError
            If a parameter stops being finite.  The last good epoch is kept.
        """
        return self._fit(X, resume=self.warm_start, whole=True)

    def partial_fit(self, X, y=None):
        """Train on the rows of X once, going on from the present model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Any number of rows; more than ``batch_size`` are cut in mini-batches.
            The learning rate is constant, whatever ``learning_rate_schedule``,
            no rows are held out, and ``history_`` is left alone.
        y : None
            Ignored.

        Returns
        -------
        self : BinaryCDRBM
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError, DivergenceError
            As in `fit`.
        """
        return self._fit(X, resume=True, whole=False)

    def _fit(self, X, *, resume, whole):
        p = self.get_params(deep=False)
        check_parameters(p)
        settings = training_settings(p)
        resume = resume and hasattr(self, "_state")
        X = check_rows(self, X, reset=not resume, binarize=self.binarize)
        if resume:
            root = self._state.root
        else:
            root = _fitting.draw_root(check_random_state(self.random_state))
        rows = held_out = None
        if whole and self.early_stopping:
            rows, held_out = _fitting.split(X.shape[0], self.validation_fraction, root)
        if resume:
            state = self._resumed_state(X, rows)
        else:
            state = _fitting.new_state(X, rows, root, p)
        with self._crew() as crew:
            if whole:
                outcome = _fitting.run(X, rows, held_out, state, settings, p, crew)
            else:
                outcome = _fitting.run_once(X, state, settings, crew)
        self._expose(outcome, whole)
        return self

    def _resumed_state(self, X, rows):
        """Return the state to go on from, with whatever was set on the attributes."""
        state = self._state
        if state.hidden_mean.shape != (self.n_components,):
            raise ValueError(
                f"n_components={self.n_components!r}, but the model to go on from has "
                f"{len(state.hidden_mean)}. Set it back, or fit with warm_start=False."
            )
        return _fitting.resumed_state(state, X, rows, self.binarize)

    def _expose(self, outcome, whole):
        """Set the fitted attributes, then say what went wrong."""
        self._state = outcome.state
        W, self.intercept_visible_, self.intercept_hidden_ = outcome.state.model()
        self.components_ = W.T
        self.visible_mean_ = outcome.state.visible_mean
        self._n_features_out = self.n_components
        if whole:
            self.n_iter_ = outcome.n_iter
            self.history_ = outcome.history
        if outcome.error is not None:
            raise outcome.error
        _fitting.warn_of_trouble(outcome, self.get_params(deep=False))

    def _crew(self):
        n_threads = usable_threads() if self.n_jobs is None else effective_n_jobs(self.n_jobs)
        return Crew(n_threads)

    # -- queries -----------------------------------------------------------------

    def _model(self):
        check_is_fitted(self)
        return Parameters(
            self.components_.T, self.intercept_visible_, self.intercept_hidden_
        ).astype(_fitting.DTYPE)

    def _rows(self, X):
        check_is_fitted(self)
        return check_rows(self, X, reset=False, binarize=self.binarize)

    def _map(self, function, X, out):
        with self._crew() as crew:
            return map_rows(function, X, out, _fitting.DTYPE, self.binarize, crew)

    def transform(self, X):
        """Return the hidden activations ``P(h=1 | v) = sigmoid(c + v'W)`` of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.

        Returns
        -------
        H : ndarray of shape (n_samples, n_components)
            Probabilities; float64 if X is, else float32.  Computed in float32.
        """
        X, model = self._rows(X), self._model()
        out = np.empty((X.shape[0], len(model.c)), _floating_type(X))
        return self._map(lambda v: energy.hidden_probabilities(model, v), X, out)

    def inverse_transform(self, H):
        """Return ``P(v=1 | h) = sigmoid(b + Wh)`` for each row of hidden units.

        Parameters
        ----------
        H : array-like of shape (n_samples, n_components)
            Hidden states or activations, in [0, 1].

        Returns
        -------
        V : ndarray of shape (n_samples, n_features)
            Probabilities; float64 if H is, else float32.
        """
        model = self._model()
        H = check_array(H, input_name="H")
        if H.shape[1] != len(model.c):
            raise ValueError(
                f"H has {H.shape[1]} columns, but the model has {len(model.c)} hidden "
                "units. Give what transform returned."
            )
        out = np.empty((H.shape[0], len(model.b)), _floating_type(H))
        with self._crew() as crew:
            return map_rows(
                lambda h: energy.visible_probabilities(model, h), H, out, _fitting.DTYPE, None, crew
            )

    def reconstruct(self, X):
        """Return each row as the model sees it, ``P(v=1 | h=P(h=1 | v))``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.

        Returns
        -------
        V : ndarray of shape (n_samples, n_features)
            Probabilities; float64 if X is, else float32.
        """
        X, model = self._rows(X), self._model()
        out = np.empty(X.shape, _floating_type(X))
        return self._map(
            lambda v: energy.visible_probabilities(
                model, energy.hidden_probabilities(model, v)
            ),
            X,
            out,
        )

    def free_energy(self, X):
        """Return ``F(v) = -b'v - sum_j softplus(c_j + (v'W)_j)`` of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.

        Returns
        -------
        F : ndarray of shape (n_samples,)
            Free energies in nats; ``log p(v) = -F(v) - log Z``.
        """
        X, model = self._rows(X), self._model()
        return self._map(lambda v: energy.free_energy(model, v), X, np.empty(X.shape[0]))

    def score_samples(self, X):
        """Return the exact pseudo-log-likelihood of each row.

        ``sum_i log P(v_i | all other units of v)``, without sampling: the same
        rows score the same always, each for itself.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Pseudo-log-likelihoods in nats; an upper bound of none, but close to
            the log-likelihood where units depend on each other weakly.
        """
        X, model = self._rows(X), self._model()
        return self._map(
            lambda v: energy.pseudo_log_likelihood(model, v), X, np.empty(X.shape[0])
        )

    def score(self, X, y=None):
        """Return the mean of `score_samples`, in nats; higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean pseudo-log-likelihood.
        """
        return float(self.score_samples(X).mean())

    def gibbs(self, v, n_steps=1, *, random_state=None):
        """Take Gibbs steps from given rows: h ~ P(h | v), then v ~ P(v | h).

        Parameters
        ----------
        v : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of visible units to start from.
        n_steps : int, default=1
            Number of steps.
        random_state : int, RandomState instance or None, default=None
            Randomness of this call.  None takes numpy's global generator and not
            the estimator's own seed, with which the calls of a loop would all
            draw the same numbers.

        Returns
        -------
        v_new : ndarray of bool of shape (n_samples, n_features)
            Visible states after the last step.
        """
        v, model = self._rows(v), self._model()
        integer(1)("n_steps", n_steps)
        v = converted(v, _fitting.DTYPE, self.binarize)
        rng = generator(_fitting.draw_root(check_random_state(random_state)))
        return gibbs_chain(model, v, n_steps, rng).astype(bool)

    def sample(self, n_samples=1, *, n_gibbs_steps=1000, random_state=None):
        """Draw rows from the model, each from a Markov chain of its own.

        Chains start from independent units, on as often as in the training rows,
        and take ``n_gibbs_steps`` steps.  How many it takes to forget the start
        depends on the model; compare two numbers of steps.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        n_gibbs_steps : int, default=1000
            Length of each chain.
        random_state : int, RandomState instance or None, default=None
            Randomness of this call; None takes that of the estimator.

        Returns
        -------
        V : ndarray of bool of shape (n_samples, n_features)
            Visible states.
        """
        model = self._model()
        integer(1)("n_samples", n_samples)
        integer(1)("n_gibbs_steps", n_gibbs_steps)
        seed = self.random_state if random_state is None else random_state
        rng = generator(_fitting.draw_root(check_random_state(seed)), SAMPLE)
        start = np.clip(self.visible_mean_, 0, 1).astype(_fitting.DTYPE)
        v = bernoulli(np.tile(start, (n_samples, 1)), rng)
        return gibbs_chain(model, v, n_gibbs_steps, rng).astype(bool)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _floating_type(X):
    """Return the type of results for X: its own if double, else single precision."""
    return np.float64 if X.dtype == np.float64 else np.float32
