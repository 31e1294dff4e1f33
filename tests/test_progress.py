"""What is shown of training and of long queries; callbacks; Ctrl-C."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrbm import BinaryCDRBM, _measures, _progress
from skrbm._core.monitoring import Monitor
from skrbm.metrics import log_partition

try:
    from sklearn.callback import ProgressBar
except ImportError:
    ProgressBar = None

needs_callbacks = pytest.mark.skipif(
    ProgressBar is None, reason="scikit-learn has no callbacks"
)


@pytest.fixture
def X():
    return (np.random.default_rng(0).random((60, 8)) < 0.5).astype(float)


def make(**changes):
    return BinaryCDRBM(3, **{"n_iter": 4, "random_state": 0} | changes)


# -- callbacks -------------------------------------------------------------------


class Record:
    """A callback that keeps what it is told, and stops at an epoch if it has one."""

    def __init__(self, stop_at=None):
        self.stop_at, self.begun, self.ended, self.open = stop_at, [], [], 0

    def setup(self, estimator, context):
        self.open += 1

    def teardown(self, estimator, context):
        self.open -= 1

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.begun.append((context.task_name, context.task_id, X, y))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.ended.append((context.task_name, context.task_id, fitted_estimator))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_at


@needs_callbacks
def test_each_epoch_is_a_task_with_the_model_so_far(X):
    record = Record()
    rbm = make().set_callbacks(record).fit(X, y := np.zeros(len(X)))
    epochs = [("epoch", i) for i in range(4)]
    assert [begun[:2] for begun in record.begun] == [("fit", 0), *epochs]
    assert [ended[:2] for ended in record.ended] == [*epochs, ("fit", 0)]
    assert all(begun[2] is X and begun[3] is y for begun in record.begun)
    assert record.open == 0
    for n, (_, _, fitted) in enumerate(record.ended[:4], 1):
        until = make(n_iter=n, learning_rate_schedule="constant").fit(X)
        np.testing.assert_array_equal(fitted.transform(X), until.transform(X))
        assert fitted.n_iter_ == len(fitted.history_["seconds"]) == n
    np.testing.assert_array_equal(record.ended[-1][2].components_, rbm.components_)
    np.testing.assert_array_equal(rbm.components_, make().fit(X).components_)


@needs_callbacks
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_callback_may_stop_training(early_stopping, X):
    rbm = make(early_stopping=early_stopping, n_iter_no_change=9)
    rbm.set_callbacks(Record(stop_at=2)).fit(X)
    assert rbm.n_iter_ == 2
    assert len(rbm.history_["seconds"]) == 2


@needs_callbacks
def test_training_that_stops_early_ends_its_tasks(X, monkeypatch):
    path = iter([-20, -19, -21, -22])
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: float(next(path))
    )
    record = Record()
    rbm = make(early_stopping=True, n_iter=9, n_iter_no_change=1)
    rbm.set_callbacks(record).fit(X)
    assert rbm.n_iter_ == 3
    assert rbm.kept_epoch_ == 2
    assert len(record.begun) == len(record.ended) == 4
    assert record.ended[2][2].kept_epoch_ == 2


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_progress_bar_works_alone_in_pipelines_and_in_searches(n_jobs, X, capsys):
    pytest.importorskip("rich")
    y = X[:, 0]
    bare = make().fit(X).components_
    rbm = make().set_callbacks(ProgressBar()).fit(X)
    np.testing.assert_array_equal(rbm.components_, bare)
    model = make_pipeline(make(), StandardScaler(), LogisticRegression())
    pipeline = clone(model).set_callbacks(ProgressBar(max_propagation_depth=None))
    np.testing.assert_array_equal(pipeline.fit(X, y)[0].components_, bare)
    grid = {"binarycdrbm__n_components": [2, 3]}
    search = GridSearchCV(model, grid, cv=2, n_jobs=n_jobs)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    assert "BinaryCDRBM" in capsys.readouterr().out
    rbm.set_callbacks().fit(X)
    assert not capsys.readouterr().out


def test_nothing_is_asked_of_callbacks_where_there_are_none():
    # As before scikit-learn 1.9, in a process of its own.
    code = """
        import sys, sklearn.neural_network, sklearn.pipeline
        sys.modules["sklearn.callback"] = None
        import numpy as np
        from skrbm import BinaryCDRBM
        X = np.eye(6)
        rbm = BinaryCDRBM(2, n_iter=3, early_stopping=True, random_state=0).fit(X)
        assert rbm.n_iter_ <= 3 and not hasattr(rbm, "set_callbacks")
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    subprocess.run(command, check=True)


# -- Ctrl-C ----------------------------------------------------------------------


@pytest.fixture
def interrupted(monkeypatch):
    """Return a context in which Ctrl-C comes once so many epochs are measured."""

    def after(n_epochs):
        count = iter(range(n_epochs))
        real = Monitor.measure

        def measure(monitor, state):
            if next(count, None) is None:
                raise KeyboardInterrupt
            return real(monitor, state)

        monkeypatch.setattr(Monitor, "measure", measure)

    return after


@pytest.mark.parametrize("n_epochs", [1, 3])
def test_a_first_fit_that_is_interrupted_keeps_the_last_epoch(n_epochs, X, interrupted):
    whole = make(n_iter=n_epochs).fit(X)
    interrupted(n_epochs)
    rbm = make()
    with pytest.raises(KeyboardInterrupt):
        rbm.fit(X)
    np.testing.assert_array_equal(rbm.transform(X), whole.transform(X))
    assert rbm.n_iter_ == rbm.kept_epoch_ == n_epochs
    assert {len(values) for values in rbm.history_.values()} == {n_epochs}
    assert rbm.n_features_in_ == 8


def test_an_interrupted_fit_keeps_the_best_epoch_with_early_stopping(
    X, interrupted, monkeypatch
):
    path = iter([-20, -19, -21, -22])
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: float(next(path))
    )
    interrupted(3)
    rbm = make(early_stopping=True)
    with pytest.raises(KeyboardInterrupt):
        rbm.fit(X)
    assert (rbm.n_iter_, rbm.kept_epoch_) == (3, 2)
    assert rbm._present_state().epoch == 2


def test_a_fit_that_is_interrupted_before_an_epoch_is_done_leaves_no_model(
    X, interrupted
):
    interrupted(0)
    rbm = make()
    with pytest.raises(KeyboardInterrupt):
        rbm.fit(X)
    assert not [name for name in vars(rbm) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        rbm.transform(X)


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_model_is_not_given_up_for_one_cut_short(warm_start, X, interrupted):
    rbm = make(warm_start=warm_start).fit(X)
    before = dict(vars(rbm))
    interrupted(2)
    with pytest.raises(KeyboardInterrupt):
        rbm.fit(1 - X[:, :8])
    assert vars(rbm) == before


# -- what is printed -------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (100, "2 min"),
        (3599, "1 h 0 min"),
        (5400, "1 h 30 min"),
    ],
)
def test_durations_are_short(seconds, words):
    assert _progress.duration(seconds) == words


@pytest.mark.parametrize(
    ("method", "how"),
    [
        ("exact", {}),
        ("ais", {"betas": 50, "tolerance": 99.0}),
        ("tempering", {"n_gibbs_steps": 50, "tolerance": 99.0}),
    ],
)
def test_long_queries_report_on_request(method, how, capsys, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(_progress.time, "perf_counter", lambda: 3.0 * next(clock))
    X = (np.random.default_rng(0).random((40, 200)) < 0.5).astype(float)
    rbm = BinaryCDRBM(14, n_iter=1, random_state=0).fit(X)
    how = {"method": method, "random_state": 0, "n_jobs": 1} | how
    shown = log_partition(rbm, X, verbose=1, **how)
    lines = capsys.readouterr().out.splitlines()
    shares = [int(line.split()[1]) for line in lines]
    assert lines[-1] == "[log_partition] 100 % done, 0.0 s left"
    assert shares == sorted(shares)
    assert len(shares) > 2
    assert log_partition(rbm, X, **how) == shown
    assert not capsys.readouterr().out
