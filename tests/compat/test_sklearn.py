"""scikit-learn's networks inside of `gs.compat.sklearn.accelerate()`: the same curves, and no trace after it.

scikit-learn's own tests run inside it in `nox -s parity`.
"""

from __future__ import annotations

import copy
import doctest
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs

sklearn = pytest.importorskip("sklearn", reason="needs scikit-learn: run nox -s scikit_learn")
if not gs.compat.sklearn.is_tested(sklearn.__version__):
    pytest.skip(
        f"not tested with scikit-learn {sklearn.__version__}: run nox -s scikit_learn",
        allow_module_level=True,
    )

from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.neural_network import _multilayer_perceptron as mlp
from sklearn.neural_network import _stochastic_optimizers as theirs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

accelerate = gs.compat.sklearn.accelerate
TOLERANCE = {np.float64: 1e-9, np.float32: 1e-5}

OPTIONS: list[dict[str, Any]] = [
    {"solver": "adam"},
    {"solver": "adam", "beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1},
    {"solver": "adam", "early_stopping": True, "n_iter_no_change": 3},
    {"solver": "adam", "learning_rate_init": 0.01, "batch_size": 50, "alpha": 0.1},
    {"solver": "sgd"},
    {"solver": "sgd", "momentum": 0.0},
    {"solver": "sgd", "momentum": 1.0, "learning_rate_init": 1e-4},
    {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
    {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2},
    {"solver": "sgd", "early_stopping": True, "shuffle": False},
]


def digits(dtype: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = load_digits(return_X_y=True)
    return (x[:300] / 16).astype(dtype), y[:300]


def mixed_digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return all of them: float32 features with targets that are none of that type."""
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


def classifier(**options: Any) -> Any:
    return MLPClassifier((20,), max_iter=12, random_state=0, **options)


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """See that scikit-learn is what it was after each test."""

    def found() -> list[dict[str, Any]]:
        every = (mlp, mlp.BaseMultilayerPerceptron, theirs)
        # Where Python notes what it has warned of.
        own = {"__warningregistry__"}
        return [{k: v for k, v in vars(each).items() if k not in own} for each in every]

    before = found()
    yield
    assert found() == before


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_classifiers_have_the_same_loss_curve(options: dict[str, Any], dtype: Any) -> None:
    x, y = digits(dtype)
    expected = classifier(**options).fit(x, y)
    with accelerate():
        found = classifier(**options).fit(x, y)
    np.testing.assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=TOLERANCE[dtype])
    assert [w.dtype for w in found.coefs_] == [w.dtype for w in expected.coefs_]
    assert found.n_iter_ == expected.n_iter_
    assert found._optimizer.learning_rate == pytest.approx(expected._optimizer.learning_rate)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[4]], ids=str)
def test_regressors_partial_fits_and_warm_starts(options: dict[str, Any], dtype: Any) -> None:
    x, y = digits(dtype)
    y = (y / 9).astype(dtype)

    def curves() -> list[float]:
        regressor = MLPRegressor(
            hidden_layer_sizes=(20,), max_iter=8, random_state=0, warm_start=True, **options
        )
        curve = list(regressor.fit(x, y).loss_curve_)
        curve += list(regressor.fit(x, y).loss_curve_)
        parts = MLPRegressor(hidden_layer_sizes=(20,), random_state=0, **options)
        for _ in range(8):
            parts.partial_fit(x, y)
        return curve + list(parts.loss_curve_)

    expected = curves()
    with accelerate():
        found = curves()
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("options", [o for o in OPTIONS if "early_stopping" not in o], ids=str)
def test_training_goes_on_across_the_border(options: dict[str, Any]) -> None:
    x, y = digits(np.float64)
    whole, parts = classifier(**options), classifier(**options)
    for turn in range(9):
        whole.partial_fit(x, y, classes=range(10))
        if turn % 3 == 1:  # outside, inside, outside again
            with accelerate():
                parts.partial_fit(x, y)
        else:
            parts.partial_fit(x, y, classes=range(10))
        if turn == 5:
            parts = pickle.loads(pickle.dumps(parts))
        if turn == 7:
            parts = copy.deepcopy(parts)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[4]], ids=str)
def test_parameters_that_are_replaced_are_trained(options: dict[str, Any]) -> None:
    x, y = digits(np.float64)

    def trained() -> Any:
        model = classifier(**options).partial_fit(x, y, classes=range(10))
        kept, values = model.coefs_, [w.copy() for w in model.coefs_]
        model.coefs_ = [w.copy() for w in kept]
        model.partial_fit(x, y)
        assert all(np.array_equal(w, value) for w, value in zip(kept, values, strict=True))
        return model

    expected = trained()
    with accelerate():
        found = trained()
    for w, judged in zip(found.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(w, judged, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[4]], ids=str)
def test_no_update_of_scikit_learns_own_runs_inside(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = digits(np.float64)
    before = classifier(**options)
    before.partial_fit(x, y, classes=range(10))

    def not_here(*_: object) -> None:
        raise AssertionError("an update of scikit-learn's own")

    with monkeypatch.context() as patch:
        patch.setattr(theirs.BaseOptimizer, "update_params", not_here)
        patch.setattr(theirs.SGDOptimizer, "_get_updates", not_here)
        patch.setattr(theirs.AdamOptimizer, "_get_updates", not_here)
        with accelerate():
            classifier(**options).fit(x, y)
            before.partial_fit(x, y)
        with pytest.raises(AssertionError, match="scikit-learn's own"):
            classifier(**options).fit(x, y)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_network_that_was_fitted_outside_is_fitted_anew_inside(solver: str) -> None:
    x, y = digits(np.float64)
    refitted = classifier(solver=solver).fit(x, y)
    with accelerate():
        for features, dtype in ((20, np.float64), (20, np.float32)):
            refitted.set_params(hidden_layer_sizes=(7,)).fit(x[:, :features].astype(dtype), y)
    expected = classifier(solver=solver).set_params(hidden_layer_sizes=(7,))
    expected.fit(x[:, :20].astype(np.float32), y)
    np.testing.assert_allclose(refitted.loss_curve_, expected.loss_curve_, rtol=1e-5)


def test_the_example_in_the_docstring() -> None:
    assert doctest.testmod(gs.compat.sklearn).failed == 0


def test_leaving_by_an_exception_and_nesting() -> None:
    own = mlp.AdamOptimizer

    def fails() -> None:
        with accelerate(), accelerate():
            assert mlp.AdamOptimizer is not own
            raise LookupError

    with pytest.raises(LookupError):
        fails()
    assert mlp.AdamOptimizer is own
    with accelerate():
        with accelerate():
            pass
        assert mlp.AdamOptimizer is not own
    assert mlp.AdamOptimizer is own


def test_threads_that_come_and_go() -> None:
    own, x, y = mlp.AdamOptimizer, *digits(np.float64)
    barrier = threading.Barrier(4)

    def works() -> None:
        barrier.wait()
        for _ in range(5):
            with accelerate():
                assert mlp.AdamOptimizer is not own
                MLPClassifier((4,), max_iter=1, random_state=0).fit(x[:50], y[:50])

    threads = [threading.Thread(target=works) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("version", ["0.24.2", "2.0", "1.90.0", "1.9rc1", "1.9.0rc1", "1.9.dev0"])
def test_another_version_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn.__version__", version)
    with pytest.raises(RuntimeError, match=rf"tested with .*and this is {version}"), accelerate():
        pass


# scikit-learn 1.6 passes what SciPy calls deprecated.
@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")
def test_other_solvers_are_left_alone() -> None:
    x, y = digits(np.float64)
    expected = classifier(solver="lbfgs").fit(x, y)
    with accelerate():
        found = classifier(solver="lbfgs").fit(x, y)
    assert found.loss_ == expected.loss_


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_float32_features_with_float64_targets(solver: str) -> None:
    # Gradients are float64 then, and scikit-learn's moments and updates as well.
    x, y = mixed_digits()

    def curve() -> Any:
        model = MLPRegressor(hidden_layer_sizes=(30,), max_iter=60, random_state=0, solver=solver)
        return model.fit(x, y).loss_curve_

    expected = curve()
    with accelerate():
        found = curve()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_targets_that_become_float64() -> None:
    x, y = mixed_digits()

    def curve() -> Any:
        model = MLPRegressor(hidden_layer_sizes=(30,), random_state=0, batch_size=50)
        for turn in range(60):
            model.partial_fit(x, y.astype(np.float32) if turn < 5 else y)
        return model.loss_curve_

    expected = curve()
    with accelerate():
        found = curve()
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE[np.float32])


@pytest.mark.parametrize(
    ("solver", "name", "value"),
    [
        ("adam", "learning_rate_init", 0.1),
        ("adam", "beta_1", 0.5),
        ("adam", "beta_2", 0.5),
        ("adam", "epsilon", 0.1),
        ("adam", "t", 0),
        ("sgd", "learning_rate", 0.1),
        ("sgd", "momentum", 0.2),
        ("sgd", "momentum", 0.0),
        ("sgd", "nesterov", False),
    ],
)
def test_what_is_set_at_the_optimizer_counts(solver: str, name: str, value: float) -> None:
    x, y = digits(np.float64)

    def trained() -> Any:
        model = classifier(solver=solver)
        for _ in range(2):
            model.partial_fit(x, y, classes=range(10))
        setattr(model._optimizer, name, value)
        for _ in range(2):
            model.partial_fit(x, y)
        return model

    expected = trained()
    with accelerate():
        found = trained()
    for w, judged in zip(found.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(w, judged, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("solver", "names"), [("adam", ("ms", "vs")), ("sgd", ("velocities",))])
def test_moments_are_where_scikit_learn_has_them(solver: str, names: tuple[str, ...]) -> None:
    x, y = digits(np.float64)

    def moments(model: Any) -> list[Any]:
        return [a for name in names for a in getattr(model._optimizer, name)]

    expected = classifier(solver=solver).partial_fit(x, y, classes=range(10))
    with accelerate():
        found = classifier(solver=solver).partial_fit(x, y, classes=range(10))
    for again in (found, pickle.loads(pickle.dumps(found))):
        for a, b in zip(moments(again), moments(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[4]], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_parameters_that_become_smaller_are_trained(options: dict[str, Any], dtype: Any) -> None:
    x, y = digits(np.float64)

    def trained() -> Any:
        model = classifier(**options).partial_fit(x, y, classes=range(10))
        model.coefs_ = [w.astype(dtype) for w in model.coefs_]
        return model.partial_fit(x, y)

    expected = trained()
    with accelerate():
        found = trained()
    for w, judged in zip(found.coefs_, expected.coefs_, strict=True):
        assert w.dtype == dtype
        np.testing.assert_allclose(w, judged, rtol=2 * float(np.finfo(dtype).eps))


def test_what_another_has_taken_back_inside_is_not_put_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = mlp.AdamOptimizer
    with monkeypatch.context() as patch:
        patch.setattr(mlp, "AdamOptimizer", type("Other", (own,), {}))
        inside = accelerate()
        inside.__enter__()
    inside.__exit__(None, None, None)
    assert mlp.AdamOptimizer is own


def interrupted_at(line: int) -> bool:
    """Enter and leave with a KeyboardInterrupt ahead of one of their lines; return whether there was one."""
    codes = (gs.compat.sklearn._enter.__code__, gs.compat.sklearn._leave.__code__)
    passed = 0

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal passed
        if frame.f_code not in codes:
            return None
        if event == "line":
            passed += 1
            if passed == line:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with accelerate():
            pass
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_an_interruption_on_the_way_in_or_out_leaves_nothing_behind() -> None:
    own, lines = mlp.AdamOptimizer, 1
    while interrupted_at(lines):
        assert mlp.AdamOptimizer is own, lines
        with accelerate():
            assert mlp.AdamOptimizer is not own, lines
        lines += 1
    assert lines > 5


def test_a_version_without_the_private_modules_is_refused_clearly(tmp_path: Path) -> None:
    package = tmp_path / "sklearn" / "neural_network"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / "sklearn" / "__init__.py").write_text('__version__ = "2.0.0"\n')
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import gradstep as gs; gs.compat.sklearn.accelerate()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "and this is 2.0.0" in done.stderr
