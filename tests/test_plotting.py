"""What the displays draw."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

from skrbm import BinaryCDRBM
from skrbm.plotting import (
    ActivationDisplay,
    FiltersDisplay,
    ReconstructionDisplay,
    SamplesDisplay,
    TrainingDisplay,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

SHAPE = (2, 4)
NAMES = [f"column {letter}" for letter in "abcdefgh"]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def rbm(X):
    return BinaryCDRBM(5, n_iter=10, learning_rate=0.5, random_state=0).fit(X)


@pytest.fixture
def table(X):
    return pd.DataFrame(3 * X - 1, columns=NAMES)


@pytest.fixture
def pipeline(table):
    rbm = BinaryCDRBM(5, n_iter=10, learning_rate=0.5, random_state=0)
    return make_pipeline(MinMaxScaler(), rbm).fit(table)


def pictures(ax):
    return [np.asarray(image.get_array()) for image in ax.images]


def labels(ticks):
    return [tick.get_text() for tick in ticks]


# -- weights -------------------------------------------------------------------------


def test_filters_are_the_weights_as_pictures(rbm):
    display = FiltersDisplay.from_estimator(
        rbm, shape=SHAPE, order="index", standardize=False
    )
    assert np.array_equal(pictures(display.ax_), rbm.components_.reshape(5, *SHAPE))
    assert [text.get_text() for text in display.ax_.texts] == list("01234")
    assert display.ax_.get_title() == "Weights of 5 hidden units"
    assert display.figure_ is display.ax_.figure


def test_filters_stand_side_by_side_and_do_not_overlap(rbm):
    display = FiltersDisplay.from_estimator(rbm, shape=SHAPE, n_cols=2)
    left, right, bottom, top = np.transpose(
        [im.get_extent() for im in display.ax_.images]
    )
    assert (right - left == 4).all()
    assert (bottom - top == 2).all()
    assert list(np.unique(left)) == sorted({left[0], left[1]})
    assert right[0] < left[1]
    assert top[0] == top[1] < bottom[1] < top[2] == top[3] < bottom[3] < top[4]
    low, high = display.ax_.get_xlim()
    assert low <= left.min() < right.max() <= high
    high, low = display.ax_.get_ylim()  # upside down
    assert low <= top.min() < bottom.max() <= high


def test_filters_with_the_most_effect_come_first(rbm):
    m = rbm.visible_mean_
    standardized = rbm.components_ * np.sqrt(m * (1 - m))
    order = np.argsort(-np.linalg.norm(standardized, axis=1))
    assert list(order) != list(range(5))
    display = FiltersDisplay.from_estimator(rbm, shape=SHAPE, n_units=3)
    assert list(display.units) == list(order[:3])
    expected = standardized[order[:3]].reshape(3, *SHAPE)
    np.testing.assert_allclose(pictures(display.ax_), expected, rtol=1e-6)
    assert display.ax_.get_title() == "Standardised weights of 3 of 5 hidden units"


def test_a_column_that_never_varies_has_no_effect(rbm):
    rbm.visible_mean_[3] = 0
    rbm.components_ = rbm.components_.copy()
    rbm.components_[2, 3] = 1000
    display = FiltersDisplay.from_estimator(rbm)
    assert display.units[0] != 2
    assert not display.weights[:, 3].any()


def test_filters_are_shown_in_an_order_that_is_given(rbm):
    display = FiltersDisplay.from_estimator(
        rbm, shape=SHAPE, order=np.array([4, 1, 3]), n_units=2, standardize=False
    )
    assert list(display.units) == [4, 1]
    assert [text.get_text() for text in display.ax_.texts] == ["4", "1"]
    assert np.array_equal(pictures(display.ax_)[0].ravel(), rbm.components_[4])


def test_colours_of_filters_are_centred_at_zero(rbm):
    shared = FiltersDisplay.from_estimator(rbm, shape=SHAPE)
    limits = {image.get_clim() for image in shared.ax_.images}
    (low, high), *others = limits
    assert not others
    assert low == -high
    assert 0 < high <= np.abs(shared.weights).max()
    own = FiltersDisplay.from_estimator(rbm, shape=SHAPE, scale="unit")
    for image, w in zip(own.ax_.images, own.weights, strict=True):
        assert image.get_clim() == (-np.abs(w).max(), np.abs(w).max())


def test_a_scale_of_colours_is_shown_where_it_is_shared(rbm):
    def n_axes(**options):
        display = FiltersDisplay.from_estimator(rbm, shape=SHAPE, **options)
        return len(display.figure_.axes)

    assert n_axes() == 2
    assert n_axes(colorbar=False) == 1
    assert n_axes(scale="unit") == 1


def test_without_shape_filters_are_bars_of_the_strongest_columns(pipeline):
    display = FiltersDisplay.from_estimator(pipeline, n_units=4, n_bars=3)
    assert len(display.axes_) == 4
    for ax, unit, w in zip(display.axes_, display.units, display.weights, strict=True):
        strongest = np.argsort(-np.abs(w))[:3]
        assert ax.get_title() == f"Unit {unit}"
        assert labels(ax.get_yticklabels()) == [NAMES[i] for i in strongest]
        assert np.array_equal([bar.get_width() for bar in ax.patches], w[strongest])
        assert [bar.get_y() + bar.get_height() / 2 for bar in ax.patches] == [0, 1, 2]
        bottom, top = ax.get_ylim()
        assert bottom > top  # the strongest is at the top


def test_bars_show_the_sign_and_share_a_scale(rbm):
    display = FiltersDisplay.from_estimator(rbm)
    colours = {w: set() for w in (-1, 1)}
    for ax in display.axes_:
        low, high = ax.get_xlim()
        assert low == -high
        assert high >= np.abs(display.weights).max()
        for bar in ax.patches:
            colours[np.sign(bar.get_width())].add(bar.get_facecolor())
    (red,), (blue,) = colours[1], colours[-1]
    assert red[0] > red[2]
    assert blue[0] < blue[2]
    own = FiltersDisplay.from_estimator(rbm, scale="unit")
    assert len({ax.get_xlim() for ax in own.axes_}) == len(own.axes_)


def test_weights_of_zero_have_a_scale_too(rbm):
    rbm.components_ = np.zeros_like(rbm.components_)
    for shape in (None, SHAPE):
        for scale in ("shared", "unit"):
            FiltersDisplay.from_estimator(rbm, shape=shape, scale=scale)


def test_how_many_filters_are_shown_by_default(X):
    rbm = BinaryCDRBM(70, n_iter=1, random_state=0).fit(X)
    assert len(FiltersDisplay.from_estimator(rbm, shape=SHAPE).ax_.images) == 64
    assert len(FiltersDisplay.from_estimator(rbm).axes_) == 12


def test_weights_set_by_hand_are_shown_as_they_are():
    rbm = BinaryCDRBM(2)
    rbm.components_ = np.arange(8.0).reshape(2, 4)
    rbm.intercept_hidden_, rbm.intercept_visible_ = np.zeros(2), np.zeros(4)
    display = FiltersDisplay.from_estimator(rbm, shape=(2, 2))
    assert np.array_equal(pictures(display.ax_), [[[4, 5], [6, 7]], [[0, 1], [2, 3]]])


# -- names of columns ----------------------------------------------------------------


def test_columns_have_the_names_that_the_model_was_trained_on(table):
    rbm = BinaryCDRBM(2, n_iter=1, binarize=0.5, random_state=0).fit(table)
    assert list(FiltersDisplay.from_estimator(rbm).feature_names) == NAMES


def test_columns_have_the_names_that_a_pipeline_gives_them(table):
    rbm = BinaryCDRBM(2, n_iter=1, random_state=0)
    nested = make_pipeline(make_pipeline(MinMaxScaler(), make_pipeline(rbm)))
    nested.fit(table)
    assert list(FiltersDisplay.from_estimator(nested).feature_names) == NAMES


def test_columns_without_names_are_numbered(X, rbm):
    nameless = make_pipeline(FunctionTransformer(), rbm).fit(X)
    for model in (rbm, nameless):
        names = FiltersDisplay.from_estimator(model).feature_names
        assert list(names) == [f"x{i}" for i in range(8)]


# -- reconstructions -----------------------------------------------------------------


def test_each_row_stands_above_its_reconstruction(X, rbm):
    display = ReconstructionDisplay.from_estimator(
        rbm, X, shape=SHAPE, max_rows=5, n_cols=3
    )
    images = display.ax_.images
    both = np.concatenate([X[:5], rbm.reconstruct(X[:5])]).reshape(10, *SHAPE)
    assert np.array_equal(pictures(display.ax_), both)
    assert {image.get_clim() for image in images} == {(0, 1)}
    for above, below in zip(images[:5], images[5:], strict=True):
        left, right, bottom, _ = above.get_extent()
        assert tuple(below.get_extent()[:2]) == (left, right)
        assert bottom < below.get_extent()[3]
    # The fourth is below the first two pairs.
    assert images[3].get_extent()[3] > images[5].get_extent()[2]
    ticks = dict(
        zip(
            display.ax_.get_yticks(), labels(display.ax_.get_yticklabels()), strict=True
        )
    )
    assert ticks[1.0] == "rows"
    assert sorted(ticks.values()) == ["reconstructions"] * 2 + ["rows"] * 2


def test_how_many_rows_are_reconstructed_by_default(X, rbm):
    display = ReconstructionDisplay.from_estimator(rbm, X, shape=SHAPE)
    assert len(display.rows) == 10
    display = ReconstructionDisplay.from_estimator(rbm, X)
    assert len(display.rows) == 30


def test_without_shape_rows_and_reconstructions_are_two_pictures(table, pipeline):
    display = ReconstructionDisplay.from_estimator(pipeline, table)
    rows = pipeline[:-1].transform(table)[:30]
    above, below = display.axes_
    assert np.array_equal(pictures(above), [rows])
    assert np.array_equal(pictures(below), [pipeline[-1].reconstruct(rows)])
    for ax in display.axes_:
        assert labels(ax.get_xticklabels()) == NAMES
        assert ax.images[0].get_clim() == (0, 1)


def test_many_columns_are_counted_and_not_named():
    X = np.eye(50)
    rbm = BinaryCDRBM(2, n_iter=1, random_state=0).fit(X)
    display = ReconstructionDisplay.from_estimator(rbm, X)
    assert labels(display.axes_[0].get_xticklabels()) == []
    assert display.axes_[0].get_xlabel() == "50 columns"


def test_rows_are_shown_as_the_model_sees_them(X):
    rbm = BinaryCDRBM(3, binarize=100, n_iter=1, random_state=0).fit(200 * X)
    display = ReconstructionDisplay.from_estimator(rbm, 200 * X)
    assert np.array_equal(display.rows, X[:30])


@pytest.mark.parametrize(
    "container", [np.asarray, pd.DataFrame, sparse.bsr_array, sparse.csc_matrix, list]
)
def test_rows_come_in_any_container(X, container):
    rows = container(X)
    rbm = BinaryCDRBM(3, n_iter=1, random_state=0).fit(rows)
    display = ReconstructionDisplay.from_estimator(rbm, rows, shape=SHAPE, max_rows=3)
    assert np.array_equal(display.rows, X[:3])
    assert np.allclose(display.reconstructions, rbm.reconstruct(rows)[:3])
    assert len(ActivationDisplay.from_estimator(rbm, rows).activations) == 60


# -- samples -------------------------------------------------------------------------


def test_states_are_what_the_model_samples(rbm):
    display = SamplesDisplay.from_estimator(
        rbm, shape=SHAPE, n_samples=3, n_gibbs_steps=5, kind="states", random_state=1
    )
    samples = rbm.sample(3, n_gibbs_steps=5, random_state=1)
    assert np.array_equal(pictures(display.ax_), samples.reshape(3, *SHAPE))
    assert display.ax_.get_title() == "3 samples"


def test_probabilities_are_those_given_a_hidden_state(X):
    rbm = BinaryCDRBM(1, n_iter=20, learning_rate=0.5, random_state=0).fit(X)
    display = SamplesDisplay.from_estimator(rbm, n_samples=200, random_state=0)
    off, on = rbm.inverse_transform([[0.0], [1.0]])
    is_on = np.isclose(display.samples, on).all(axis=1)
    assert (is_on | np.isclose(display.samples, off).all(axis=1)).all()
    # A share of 200 is within 0.15 of its mean but for a chance of 3e-5.
    samples = rbm.sample(200, random_state=0)
    assert is_on.mean() == pytest.approx(rbm.transform(samples).mean(), abs=0.15)
    assert 0.1 < is_on.mean() < 0.9
    assert display.ax_.get_title() == "200 samples, as P(v = 1 | h)"


def test_samples_follow_the_seed(rbm):
    def samples(seed, **options):
        rbm.set_params(random_state=7)
        return SamplesDisplay.from_estimator(
            rbm, n_samples=20, n_gibbs_steps=5, random_state=seed, **options
        ).samples

    assert np.array_equal(samples(1), samples(1))
    assert not np.array_equal(samples(1), samples(2))
    assert np.array_equal(samples(None), samples(7))


def test_without_shape_samples_are_one_picture(pipeline):
    display = SamplesDisplay.from_estimator(pipeline, n_samples=6, n_gibbs_steps=5)
    assert np.array_equal(pictures(display.ax_), [display.samples])
    assert labels(display.ax_.get_xticklabels()) == NAMES
    assert display.ax_.images[0].get_clim() == (0, 1)


def test_a_model_of_a_table_samples_without_a_warning(table):
    rbm = BinaryCDRBM(2, n_iter=1, binarize=1.5, random_state=0).fit(table)
    display = SamplesDisplay.from_estimator(rbm, n_samples=2, n_gibbs_steps=2)
    assert display.samples.shape == (2, 8)


# -- training ------------------------------------------------------------------------


def titles(display):
    return [ax.get_title() for ax in display.axes_]


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_training_shows_every_measure_that_has_values(X):
    rbm = BinaryCDRBM(
        5, n_iter=4, persistent=True, early_stopping=True, n_jobs=1, random_state=0
    )
    rbm.fit(np.tile(X, (20, 1)))
    # None of them is without values, so that none may be missing.
    assert all(np.isfinite(values).any() for values in rbm.history_.values())
    display = TrainingDisplay.from_estimator(rbm)
    drawn = [line.get_ydata() for ax in display.axes_ for line in ax.lines]
    for name, values in rbm.history_.items():
        if name != "log_likelihood_error":
            assert any(np.array_equal(values, ydata) for ydata in drawn), name
    (band,) = display.axes_[0].collections
    low, high = np.sort(band.get_paths()[0].vertices[:, 1])[[0, -1]]
    value, error = rbm.history_["log_likelihood"], rbm.history_["log_likelihood_error"]
    assert low == pytest.approx((value - 2 * error).min())
    assert high == pytest.approx((value + 2 * error).max())
    for ax in display.axes_:
        for line in ax.lines:
            if len(line.get_xdata()) == rbm.n_iter_:
                assert list(line.get_xdata()) == list(range(1, rbm.n_iter_ + 1))


def test_panels_without_values_are_left_out(rbm):
    display = TrainingDisplay.from_estimator(rbm)
    assert titles(display) == [
        "Pseudo-log-likelihood",
        "Reconstruction error",
        "Hidden units",
        "Change of the weights",
        "Learning rate",
        "Time",
    ]
    assert list(lines(display.axes_[0])) == ["training rows"]
    assert display.axes_[0].get_legend() is None
    assert labels(display.axes_[2].get_legend().get_texts()) == [
        "mean activity",
        "dead units",
        "saturated units",
    ]


def test_the_epoch_that_is_kept_is_marked():
    history = {
        "reconstruction_error": np.array([0.3, 0.2, 0.1, 0.1]),
        "seconds": np.ones(4),
    }
    for ax in TrainingDisplay(history=history, kept_epoch=3).plot().axes_:
        assert list(ax.lines[-1].get_xdata()) == [3, 3]
    for kept in (4, None):
        for ax in TrainingDisplay(history=history, kept_epoch=kept).plot().axes_:
            assert len(ax.lines) == 1


def test_curves_do_not_touch_the_frame():
    history = {
        "learning_rate": np.full(4, 0.1),
        "dead_units": np.zeros(4),
        "seconds": np.array([0.5, 0.001, 0.5, 0.5]),
    }
    for ax in TrainingDisplay(history=history).plot().axes_:
        low, high = ax.get_ylim()
        gap = 0.02 * (high - low)
        assert low <= -gap  # which is where 0 is
        for line in ax.lines:
            assert low + gap < min(line.get_ydata()) <= max(line.get_ydata())
            assert max(line.get_ydata()) < high - gap


def test_training_marks_the_epoch_that_the_model_is_from(rbm):
    rbm.kept_epoch_ = 2
    display = TrainingDisplay.from_estimator(rbm)
    assert display.kept_epoch == 2
    legend = labels(display.axes_[0].get_legend().get_texts())
    assert legend == ["training rows", "epoch 2 is kept"]


def test_a_model_without_history_says_what_to_do(X, rbm):
    partly = BinaryCDRBM(2, random_state=0).partial_fit(X)
    with pytest.raises(ValueError, match="`fit` records one, `partial_fit`"):
        TrainingDisplay.from_estimator(partly)
    rbm.set_params(n_iter=0).fit(X)
    with pytest.raises(ValueError, match="no epoch to plot"):
        TrainingDisplay.from_estimator(rbm)


# -- activations ---------------------------------------------------------------------


def test_activations_are_units_by_rows_the_most_active_on_top(X, rbm):
    display = ActivationDisplay.from_estimator(rbm, X)
    H = rbm.transform(X)
    order = np.argsort(-H.mean(axis=0))
    assert list(order) != list(range(5))
    assert np.array_equal(pictures(display.ax_), [H[:, order].T])
    assert list(display.units_) == list(order)
    assert labels(display.ax_.get_yticklabels()) == [str(unit) for unit in order]
    assert display.ax_.get_xlabel() == "60 rows"
    display.plot(order="index")
    assert np.array_equal(pictures(display.ax_), [H.T])
    assert labels(display.ax_.get_yticklabels()) == list("01234")


def test_of_many_units_some_are_numbered():
    activations = np.zeros((3, 50))
    display = ActivationDisplay(
        activations=activations, mean_activations=activations.mean(axis=0)
    ).plot(order="index")
    assert list(display.ax_.get_yticks()) == list(range(0, 50, 3))
    assert labels(display.ax_.get_yticklabels())[:3] == ["0", "3", "6"]
    assert display.ax_.get_xlabel() == "3 rows"


def test_dead_and_saturated_units_are_counted_and_marked(X, rbm):
    rbm.intercept_hidden_ = np.array([-50.0, 0, 50, -50, 0])
    display = ActivationDisplay.from_estimator(rbm, X)
    assert display.ax_.get_title() == "5 hidden units: 2 dead, 1 saturated"
    marks = lines(display.ax_)
    assert {name: list(line.get_ydata()) for name, line in marks.items()} == {
        "dead": [3, 4],
        "saturated": [0],
    }
    assert labels(display.ax_.get_legend().get_texts()) == ["dead", "saturated"]
    display.plot(order="index")
    marks = lines(display.ax_)
    assert list(marks["dead"].get_ydata()) == [0, 3]
    assert list(marks["saturated"].get_ydata()) == [2]


def test_living_units_are_not_marked(X, rbm):
    display = ActivationDisplay.from_estimator(rbm, X)
    assert display.ax_.get_title() == "5 hidden units: 0 dead, 0 saturated"
    assert not display.ax_.lines
    assert display.ax_.get_legend() is None


def test_of_many_rows_some_are_shown_and_all_are_counted(rbm):
    # On for no row but the second.
    rbm.components_, rbm.intercept_hidden_ = np.zeros((5, 8)), np.full(5, -50.0)
    rbm.components_[0, 0] = 100
    rows = np.zeros((31, 8))
    rows[1, 0] = 1
    display = ActivationDisplay.from_estimator(rbm, rows, max_rows=4)
    assert display.ax_.get_xlabel() == "4 of 31 rows"
    assert not (display.activations > 0.5).any()
    assert display.ax_.get_title() == "5 hidden units: 4 dead, 0 saturated"
    rows[[0, 10, 20, 30], 0] = 1
    display = ActivationDisplay.from_estimator(rbm, rows, max_rows=4)
    assert (display.activations[:, 0] > 0.5).all()


def test_activations_go_through_the_steps_before(table, pipeline):
    pipeline.set_output(transform="pandas").fit(table)
    display = ActivationDisplay.from_estimator(pipeline, table)
    assert np.array_equal(display.activations, pipeline.transform(table))


# -- what all displays have in common --------------------------------------------------

DRAW = {
    "filters": lambda rbm, X, **o: FiltersDisplay.from_estimator(rbm, shape=SHAPE, **o),
    "one filter": lambda rbm, X, **o: FiltersDisplay.from_estimator(
        rbm, shape=SHAPE, n_units=1, **o
    ),
    "bars": lambda rbm, X, **o: FiltersDisplay.from_estimator(rbm, **o),
    "reconstructions": lambda rbm, X, **o: ReconstructionDisplay.from_estimator(
        rbm, X, shape=SHAPE, **o
    ),
    "reconstructed rows": ReconstructionDisplay.from_estimator,
    "samples": lambda rbm, X, **o: SamplesDisplay.from_estimator(
        rbm, shape=SHAPE, n_gibbs_steps=5, **o
    ),
    "sampled rows": lambda rbm, X, **o: SamplesDisplay.from_estimator(
        rbm, n_gibbs_steps=5, **o
    ),
    "training": lambda rbm, X, **o: TrainingDisplay.from_estimator(rbm, **o),
    "activations": ActivationDisplay.from_estimator,
}
SEVERAL_AXES = {"bars", "reconstructed rows", "training"}

of_every_display = pytest.mark.parametrize("name", DRAW)


@of_every_display
def test_a_display_draws_where_it_is_told(X, rbm, name):
    figure, (ax, other) = plt.subplots(1, 2, figsize=(12, 6), layout="constrained")
    display = DRAW[name](rbm, X, ax=ax)
    assert display.figure_ is figure
    assert len(plt.get_fignums()) == 1
    if name not in SEVERAL_AXES:
        assert display.ax_ is ax
        return
    assert not ax.axison
    figure.canvas.draw()
    edge = other.get_position().x0
    assert all(axes.get_position().x1 < edge for axes in display.axes_)


@of_every_display
def test_a_display_makes_a_figure_and_draws_again_in_another(X, rbm, name):
    display = DRAW[name](rbm, X)
    first = display.figure_
    assert display.plot() is display
    assert display.figure_ is not first
    assert len(plt.get_fignums()) == 2


@of_every_display
def test_nothing_is_cut_off(X, rbm, name):
    figure = DRAW[name](rbm, X).figure_
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.02
    assert box.x1 < width + 0.02
    assert box.y1 < height + 0.02


@of_every_display
def test_what_was_given_is_kept_for_another_plot(X, rbm, name):
    display = DRAW[name](rbm, X)
    data = {key: v for key, v in vars(display).items() if not key.endswith("_")}
    again = type(display)(**data).plot()
    assert all(value is data[key] for key, value in vars(again).items() if key in data)


@pytest.mark.parametrize("name", sorted(SEVERAL_AXES))
def test_several_axes_need_a_place_in_a_grid(X, rbm, name):
    ax = plt.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match=r"Make it by plt\.subplots"):
        DRAW[name](rbm, X, ax=ax)


@of_every_display
def test_a_model_is_needed(X, name):
    with pytest.raises(NotFittedError):
        DRAW[name](BinaryCDRBM(), X)
    for nothing, what in (
        (make_pipeline(MinMaxScaler(), LogisticRegression()), "a pipeline with none"),
        (LogisticRegression(), "LogisticRegression"),
    ):
        with pytest.raises(TypeError, match=f"A BinaryCDRBM is needed.*got {what}"):
            DRAW[name](nothing, X)


@of_every_display
@pytest.mark.parametrize("nested", [False, True])
def test_the_model_of_a_pipeline_is_found_in_the_middle(table, name, nested):
    rbm = BinaryCDRBM(5, n_iter=2, learning_rate=0.5, random_state=0)
    scalers = MinMaxScaler(), MinMaxScaler((0, 0.5))
    steps = [*scalers, rbm, MinMaxScaler()]
    if nested:
        steps = [make_pipeline(*steps[:1]), make_pipeline(*steps[1:])]
    whole = make_pipeline(*steps, LogisticRegression())
    whole.fit(table, table[NAMES[0]] > 0)
    rows = make_pipeline(*scalers).transform(table)
    ours, right = DRAW[name](whole, table), DRAW[name](rbm, rows)
    for key, value in vars(right).items():
        if isinstance(value, np.ndarray) and key[-1] != "_" and key != "feature_names":
            np.testing.assert_allclose(getattr(ours, key), value, atol=1e-6)
    if hasattr(ours, "feature_names"):
        assert list(ours.feature_names) == NAMES


def test_of_several_models_the_last_step_is_drawn(X):
    first, second = (BinaryCDRBM(n, n_iter=1, random_state=0) for n in (4, 3))
    deep = make_pipeline(first, second).fit(X)
    assert FiltersDisplay.from_estimator(deep).n_components == 3
    assert FiltersDisplay.from_estimator(deep[:1]).n_components == 4
    whole = make_pipeline(first, second, LogisticRegression()).fit(X, X[:, 0])
    with pytest.raises(TypeError, match=r"a pipeline with 2.*Cut it off .*\[:2\]"):
        FiltersDisplay.from_estimator(whole)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 3), r"shape=\(3, 3\) has 9 pixels, but the model has 8 columns"),
        ((2, 3), "has 6 pixels, but the model has 8 columns"),
        (8, r"the height and the width of a picture, for instance \(8, 8\), got 8"),
        ((2, 2, 2), "the height and the width"),
        ((-2, -4), "integer of at least 1, got -2"),
    ],
)
def test_a_shape_is_the_height_and_width_of_all_columns(X, rbm, shape, message):
    with pytest.raises(ValueError, match=message):
        FiltersDisplay.from_estimator(rbm, shape=shape)
    with pytest.raises(ValueError, match=message):
        ReconstructionDisplay.from_estimator(rbm, X, shape=shape)
    with pytest.raises(ValueError, match=message):
        SamplesDisplay.from_estimator(rbm, shape=shape)


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("filters", dict(n_units=0), ValueError),
        ("filters", dict(n_units=2.0), TypeError),
        ("filters", dict(standardize="yes"), TypeError),
        ("filters", dict(colorbar=2), TypeError),
        ("filters", dict(scale="own"), ValueError),
        ("filters", dict(n_cols=0), ValueError),
        ("filters", dict(order="size"), ValueError),
        ("filters", dict(order=[5]), ValueError),
        ("filters", dict(order=[-1]), ValueError),
        ("filters", dict(order=[0.5]), TypeError),
        ("filters", dict(order=[]), TypeError),
        ("bars", dict(n_bars=0), ValueError),
        ("bars", dict(n_cols=0), ValueError),
        ("reconstructions", dict(max_rows=0), ValueError),
        ("reconstructions", dict(n_cols=0), ValueError),
        ("samples", dict(kind="rows"), ValueError),
        ("samples", dict(n_samples=0), ValueError),
        ("samples", dict(n_cols=0), ValueError),
        ("training", dict(n_cols=0), ValueError),
        ("activations", dict(max_rows=0), ValueError),
        ("activations", dict(order="size"), ValueError),
    ],
)
def test_arguments_are_checked(X, rbm, name, options, error):
    with pytest.raises(error, match=next(iter(options))):
        DRAW[name](rbm, X, **options)


def test_matplotlib_is_imported_when_there_is_something_to_draw():
    code = "import sys, skrbm.plotting; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@of_every_display
def test_without_matplotlib_a_display_says_what_to_install(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "skrbm\[plots\]"'):
        DRAW[name](None, None)  # before it looks at anything
