"""Groups of parameters: added later, chosen by name, with hyperparameters that follow schedules.

What one step does with given numbers is in test_steps.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
import gradstep.optimizers.base as base
from gradstep import _core

Array = NDArray[np.float64]


def gradients(n: int, size: int = 3) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=size) for _ in range(n)]


# --- betas that follow schedules --------------------------------------------------------------


def rising(n: int) -> float:
    return 1 - 0.5 / (n + 1)


def falling(n: int) -> float:
    return 0.9 / (n + 1)


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("beta1", [0.75, rising, falling])
@pytest.mark.parametrize("beta2", [0.875, rising, falling])
def test_bias_correction_divides_by_the_weights_there_are(
    beta1: Any, beta2: Any, corrected: bool
) -> None:
    w, judged, m, v = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    opt = gs.Adam(w, lr=0.1, betas=(beta1, beta2), bias_correction=corrected)
    product1 = product2 = 1.0
    for n, g in enumerate(gradients(20)):
        b1, b2 = (b(n) if callable(b) else b for b in (beta1, beta2))
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        product1, product2 = product1 * b1, product2 * b2
        weights1, weights2 = (1 - product1, 1 - product2) if corrected else (1.0, 1.0)
        judged -= 0.1 * (m / weights1) / np.sqrt(v / weights2 + 1e-8)
        opt.step(g)
    np.testing.assert_allclose(w, judged, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (lambda w, b: gs.Adam(w, betas=(b, b)), [0.9, 0.999]),
        (lambda w, b: gs.Momentum(w, beta=b, bias_correction=True), [0.5, 0.99]),
        (lambda w, b: gs.RAdam(w, betas=(0.9, b)), [0.5, 0.999]),
        (lambda w, b: gs.NAdam(w, betas=(b, 0.9)), [0.5, 0.9]),
        (lambda w, b: gs.Adamax(w, betas=(b, b)), [0.5, 0.999]),
    ],
)
def test_a_schedule_of_one_value_is_that_value(make: Any, values: list[float]) -> None:
    for value in values:
        one, other = np.zeros(3), np.zeros(3)
        a, b = make(one, value), make(other, gs.schedules.Constant(value))
        for g in gradients(40):
            a.step(g)
            b.step(g)
        np.testing.assert_allclose(one, other, rtol=1e-15, atol=0)


STEPPED = gs.schedules.Piecewise([3, 7], [0.9, 0.5, 0.99])


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(
    ("beta", "dampening"), [(STEPPED, None), (STEPPED, 0.0), (STEPPED, 0.3), (0.9, STEPPED)]
)
def test_weights_that_follow_schedules_sum_to_one(
    beta: Any, dampening: Any, nesterov: bool
) -> None:
    # Under gradients of 1 a corrected average is 1, whatever its weights were.
    w = np.zeros(1)
    opt = gs.Momentum(
        w, lr=1.0, beta=beta, dampening=dampening, nesterov=nesterov, bias_correction=True
    )
    for t in range(1, 12):
        if t == 5:  # by the state alone
            other = gs.Momentum(
                w, lr=1.0, beta=beta, dampening=dampening, nesterov=nesterov, bias_correction=True
            )
            other.load_state_dict(opt.state_dict())
            opt = other
        opt.step(np.ones(1))
        np.testing.assert_allclose(w, -t, rtol=1e-13)


@pytest.mark.parametrize("there_and_back", [False, True])
def test_a_schedule_that_becomes_a_constant_keeps_its_product(there_and_back: bool) -> None:
    w = np.zeros(1)
    opt = gs.Adam(w, lr=1.0, betas=(STEPPED, 0.999), eps_root=0.0)
    for t in range(1, 12):
        if t == 6:
            with pytest.warns(UserWarning, match=r"^betas\[0\] followed a schedule, and is 0\.999"):
                opt.groups[0]["betas"] = (0.999, 0.999)
            if there_and_back:
                opt.groups[0]["betas"] = (STEPPED, 0.999)
        opt.step(np.ones(1))
        np.testing.assert_allclose(w, -t, rtol=1e-12)


def test_a_correction_that_comes_later_knows_what_beta_was() -> None:
    w = np.zeros(1)
    opt = gs.Momentum(w, lr=1.0, beta=STEPPED)
    for _ in range(5):
        opt.step(np.ones(1))
    opt.groups[0]["bias_correction"] = True
    before = w.copy()
    opt.step(np.ones(1))
    np.testing.assert_allclose(w, before - 1, rtol=1e-13)


def test_a_state_of_an_own_callable_loads_where_the_beta_is_constant() -> None:
    w = np.zeros(1)
    saved = gs.Adam(w, betas=(lambda n: 0.5, 0.999))
    saved.step(np.ones(1))
    opt = gs.Adam(w, betas=(0.9, 0.999))
    with pytest.warns(UserWarning, match="betas was a callable"):
        opt.load_state_dict(saved.state_dict())
    assert opt.state_dict()["groups"][0]["products"] == {"beta1": [0.5, 0.0]}


def test_a_constant_that_becomes_a_schedule_goes_on() -> None:
    one, other = np.zeros(3), np.zeros(3)
    a = gs.Adam(one, betas=(0.9, 0.99))
    b = gs.Adam(other, betas=(0.9, lambda n: 0.99))
    for n, g in enumerate(gradients(12)):
        if n == 5:
            a.groups[0]["betas"] = (lambda n: 0.9, 0.99)
            b.groups[0]["betas"] = (0.9, lambda n: 0.99)
        if n == 9:
            with pytest.warns(UserWarning, match=r"^betas\[0\] followed"):
                a.groups[0]["betas"] = (0.9, 0.99)
        a.step(g)
        b.step(g)
    np.testing.assert_allclose(one, other, rtol=1e-14)


def test_a_constant_that_becomes_a_schedule_counts_the_groups_own_steps() -> None:
    late, alone = np.zeros(3), np.zeros(3)
    opt, single = gs.Adam(np.zeros(3), lr=0.1), gs.Adam(alone, lr=0.1)
    for n, g in enumerate(gradients(12)):
        if n == 4:
            opt.add_group({"params": late})
        if n == 7:
            opt.groups[1]["betas"] = single.groups[0]["betas"] = (0.9, lambda n: 0.99)
        opt.step(g if n < 4 else [g, g])
        if n >= 4:
            single.step(g)
    assert np.array_equal(late, alone)


def test_groups_that_are_wrong_are_named() -> None:
    opt = gs.SGD([{"params": np.zeros(1)}], lr=1.0)
    with pytest.raises(
        ValueError,
        match=r"^group 1: SGD has no hyperparameter 'wd'; here it is weight_decay \(it has lr, ",
    ):
        opt.add_group({"params": np.zeros(1), "wd": 0.1})
    chosen = gs.by_name({"b": np.zeros(1)}, {"b": {"lr": 0.5}})
    with pytest.raises(TypeError, match=r"^group 1: by_name and masks stand for all of params"):
        opt.add_group({"params": chosen})
    assert len(opt.groups) == 1


def test_a_group_that_comes_in_between_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    # As another thread may bring one, behind the look at what there is.
    opt = gs.SGD([{"params": np.zeros(3)}], lr=1.0)
    look = opt._with_group

    def and_another(group: Any) -> Any:
        found = look(group)
        monkeypatch.undo()
        opt.add_group({"params": np.zeros(2)})
        return found

    monkeypatch.setattr(opt, "_with_group", and_another)
    with pytest.raises(RuntimeError, match="another thread"):
        opt.add_group({"params": np.zeros(1)})
    assert [entry["params"].size for entry in opt.params] == [3, 2]
    assert len(opt.groups) == 2


BETAS = gs.schedules.Linear(0.5, 0.95, 10)
KINDS: list[Callable[[Any], gs.Optimizer]] = [
    lambda w: gs.Adam(w, betas=(BETAS, BETAS)),
    lambda w: gs.Adam(w, betas=(0.9, BETAS), amsgrad=True, eps=BETAS),
    lambda w: gs.Momentum(w, beta=BETAS, bias_correction=True),
    lambda w: gs.NAdam(w, betas=(BETAS, 0.9)),
    lambda w: gs.NAdam(w, momentum_decay=BETAS),
    lambda w: gs.RAdam(w, betas=(0.9, BETAS)),
    lambda w: gs.Lion(w, betas=(BETAS, BETAS), weight_decay=BETAS),
]


@pytest.mark.parametrize("make", KINDS)
def test_a_run_goes_on_with_the_same_bits_from_any_step(make: Any) -> None:
    whole = np.zeros(3)
    opt = make(whole)
    saved = []
    for g in gradients(12):
        saved.append((whole.copy(), opt.state_dict()))
        opt.step(g)
    for n, (w, state) in enumerate(saved):
        again = make(w)
        again.load_state_dict(state)
        for g in gradients(12)[n:]:
            again.step(g)
        assert np.array_equal(w, whole)


@pytest.mark.parametrize(
    ("products", "error", "message"),
    [
        ({}, ValueError, "lacks the product of beta1"),
        ({"beta1": [0.5, 0.0], "mu": [0.5, 0.0]}, ValueError, "products that are unknown here"),
        ({"beta1": 0.5}, ValueError, "must be two floats, got 0.5"),
        ({"beta1": [1.5, 0.0]}, ValueError, "product of beta1 .* from 0 to 1"),
        ({"beta1": [float("nan"), 0.0]}, ValueError, "product of beta1 .* from 0 to 1"),
        ({"beta1": [0.5, 0.5]}, ValueError, "product of beta1 .* from 0 to 1"),
        (None, TypeError, "products of the state must be a mapping"),
    ],
)
def test_products_that_cannot_be(products: Any, error: Any, message: str) -> None:
    opt = gs.Adam(np.zeros(3), betas=(BETAS, 0.9))
    opt.step(np.ones(3))
    saved = opt.state_dict()
    bad = {**saved, "groups": [{**saved["groups"][0], "products": products}]}
    with pytest.raises(error, match=message):
        opt.load_state_dict(bad)
    np.testing.assert_equal(opt.state_dict(), saved)


def test_the_product_of_nadam_in_a_function_of_its_own() -> None:
    w, m, v, product = np.zeros(3), np.zeros(3), np.zeros(3), np.ones(1)
    params = w.copy()
    opt = gs.NAdam(params, lr=0.1)
    for t, g in enumerate(gradients(10), 1):
        opt.step(g)
        gs.functional.nadam(w, g, m, v, t=t, lr=0.1, mu_product=product)
        assert np.array_equal(w, params)
        assert opt.state_dict()["groups"][0]["products"]["mu"] == [product[0], 0.0]
    factors = [0.9 * (1 - 0.96 ** (0.004 * t) / 2) for t in range(1, 11)]
    np.testing.assert_allclose(product, np.prod(factors), rtol=1e-14)


@pytest.mark.parametrize("psi", [0.0, 0.004, 0.3, 1.0, 10.0, 1e6])
@pytest.mark.parametrize("t", [1, 2, 25, 150])
def test_the_factor_of_momentum_in_one_step(t: int, psi: float) -> None:
    w, m, v, product = np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1)
    gs.functional.nadam(w, np.ones(1), m, v, t=t, lr=0.1, momentum_decay=psi, mu_product=product)
    np.testing.assert_allclose(product, 0.9 * (1 - 0.96 ** (t * psi) / 2), rtol=4e-16)


@pytest.mark.parametrize(
    ("product", "error", "message"),
    [
        (1.0, TypeError, "mu_product"),
        (np.ones(2), ValueError, "mu_product must be an array of one float64"),
        (np.ones(1, np.float32), ValueError, "mu_product must be an array of one float64"),
        (np.ones(1)[::-1].copy().view(">f8"), TypeError, "mu_product"),
        (np.zeros(1), ValueError, "mu_product must be 1 before the first step, got 0.0"),
        (np.full(1, np.nan), ValueError, "mu_product must be 1 before the first step, got nan"),
    ],
)
def test_a_product_that_cannot_be(product: Any, error: Any, message: str) -> None:
    w, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    with pytest.raises(error, match=message):
        gs.functional.nadam(w, np.ones(3), m, v, t=1, lr=0.1, mu_product=product)
    assert not w.any()
    assert not m.any()


@pytest.mark.parametrize(
    ("product", "fits"), [(0.0, True), (1.0, True), (-0.5, False), (1.5, False)]
)
def test_a_product_after_the_first_step(product: float, fits: bool) -> None:
    # With a small beta it soon underflows.
    kept, w, m, v = np.full(1, product), np.zeros(3), np.zeros(3), np.zeros(3)

    def step() -> None:
        gs.functional.nadam(w, np.ones(3), m, v, t=2, lr=0.1, betas=(0.0, 0.9), mu_product=kept)

    if fits:
        step()
        assert kept == 0
        assert np.all(w < 0)
        return
    with pytest.raises(ValueError, match=f"mu_product must be from 0 to 1, got {product}"):
        step()
    assert kept == product
    assert not w.any()


@pytest.mark.parametrize("name", ["nadam", "radam", "adamax"])
def test_functions_that_always_correct_need_t(name: str) -> None:
    w, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    product = {"mu_product": np.ones(1)} if name == "nadam" else {}
    with pytest.raises(ValueError, match="t is needed: the number of this step"):
        getattr(gs.functional, name)(w, np.ones(3), m, v, t=None, lr=0.1, **product)
    with pytest.raises(ValueError, match="mu_product is needed: pass"):
        gs.functional.nadam(w, np.ones(3), m, v, t=1, lr=0.1, mu_product=None)
    assert not w.any()


def test_a_product_without_parameters_is_not_looked_at() -> None:
    stepper = _core.new_stepper()
    stepper.add_group("nadam", [("lr", "lr", 0.1)], None, 0, "no array")
    stepper.step([])
    assert stepper.t == 1


@pytest.mark.parametrize("betas", [(BETAS, 0.9), (0.9, BETAS)], ids=["beta1", "beta2"])
def test_functions_refuse_a_schedule_whose_product_they_cannot_know(betas: Any) -> None:
    w, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    member = r"betas\[0\]" if callable(betas[0]) else r"betas\[1\]"
    with pytest.raises(
        TypeError, match=rf"{member} must be a number here, .* all its values so far"
    ):
        gs.functional.adam(w, np.ones(3), m, v, t=3, lr=0.1, betas=betas)
    assert not w.any()
    gs.functional.adam(w, np.ones(3), m, v, t=3, lr=0.1, betas=betas, bias_correction=False)
    assert w.all()


def test_what_v_starts_from_follows_no_schedule() -> None:
    message = "initial_accumulator must be a number, got a callable; v starts from it"
    with pytest.raises(TypeError, match=message):
        gs.Adagrad(np.ones(1), initial_accumulator=BETAS)  # type: ignore[arg-type]
    opt = gs.Adagrad(np.ones(1))
    with pytest.raises(ValueError, match="initial_accumulator is what v started from"):
        opt.groups[0]["initial_accumulator"] = 0.5
    assert opt.groups[0]["initial_accumulator"] == 0


def test_a_product_inside_of_a_parameter_is_refused() -> None:
    w = np.ones(3)
    with pytest.raises(
        ValueError, match=r"parameter 'w' shares memory with state 'mu_product' of 'w'"
    ):
        gs.functional.nadam(w, np.ones(3), np.zeros(3), np.zeros(3), t=1, lr=0.1, mu_product=w[1:2])


# --- groups added later -----------------------------------------------------------------------


def test_a_group_that_comes_later_counts_its_own_steps() -> None:
    early, late, alone = np.zeros(3), np.zeros(3), np.zeros(3)
    opt = gs.Adam({"early": early}, lr=0.1)
    single = gs.Adam(alone, lr=0.2)
    for n, g in enumerate(gradients(10)):
        if n < 4:
            opt.step({"early": g})
            continue
        if n == 4:
            opt.add_group({"params": [late], "lr": 0.2})
        opt.step([{"early": g}, [g]])
        single.step(g)
    assert np.array_equal(late, alone)
    assert not np.array_equal(late, early)
    assert list(opt.state) == ["early", "0"]
    assert [group["lr"] for group in opt.groups] == [0.1, 0.2]
    assert [group["start"] for group in opt.state_dict()["groups"]] == [0, 4]
    assert opt.params == [{"params": {"early": early}}, {"params": [late], "lr": 0.2}]


def test_positions_are_counted_on() -> None:
    opt = gs.SGD([{"params": [np.zeros(1), np.zeros(1)]}, {"params": np.zeros(1)}])
    opt.add_group({"params": np.zeros(1)})
    opt.add_group({"params": {"w": np.zeros(1)}})
    opt.add_group({"params": [np.zeros(1)]})
    assert list(opt.state) == ["0", "1", "2", "3", "w", "4"]


W = np.zeros(4)


@pytest.mark.parametrize(
    ("group", "error", "message"),
    [
        ({"params": W[1:3]}, ValueError, "parameter '0' shares memory with parameter '1'"),
        ({"params": {"0": np.zeros(1)}}, ValueError, "names must differ, got '0' for 2 arrays"),
        ({"params": np.zeros(1), "rate": 1.0}, ValueError, "no hyperparameter 'rate'"),
        ({"params": np.zeros(1), "lr": -1.0}, ValueError, "group 1: lr must be finite"),
        ({"params": np.zeros(1), "lr": "1"}, TypeError, "group 1: lr must be a number"),
        ({"params": np.zeros(1), "nesterov": 1}, TypeError, "group 1: nesterov must be True or"),
        ({"params": np.zeros(1, int)}, TypeError, "parameter '1' must be .* got dtype int64"),
        ({"lr": 0.1}, ValueError, "group must have the key 'params', got {'lr': 0.1}"),
        ([np.zeros(1)], TypeError, "group must be a mapping, got list"),
    ],
)
def test_a_group_that_cannot_be_added_changes_nothing(group: Any, error: Any, message: str) -> None:
    opt = gs.Momentum(W, lr=0.1)
    opt.step(np.ones(4))
    before, shown = opt.state_dict(), repr(opt)
    with pytest.raises(error, match=message):
        opt.add_group(group)
    np.testing.assert_equal(opt.state_dict(), before)
    assert (repr(opt), list(opt.state)) == (shown, ["0"])
    opt.step(np.ones(4))  # gradients still come without groups


@pytest.mark.parametrize("meets", ["Structure", "expected"])
def test_a_group_that_comes_while_another_is_added(
    meets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As another thread would, between what is read of the optimizer and what is changed.
    opt = gs.SGD(np.zeros(1), lr=0.5)
    own = getattr(base, meets)

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.undo()
        opt.add_group({"params": {"first": np.zeros(1)}, "lr": 0.25})
        return own(*arguments)

    monkeypatch.setattr(base, meets, meanwhile)
    with pytest.raises(RuntimeError, match="in another thread"):
        opt.add_group({"params": {"second": np.zeros(1)}})
    assert [group["lr"] for group in opt.groups] == [0.5, 0.25]
    opt.step([np.ones(1), {"first": np.ones(1)}])


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (gs.Adagrad, "lr_decay"),
        (gs.Adagrad, "initial_accumulator"),
        (gs.NAdam, "momentum_decay"),
        (gs.RAdam, "threshold"),
        (gs.Adamax, "eps"),
        (gs.Adamax, "eps_root"),
    ],
)
def test_numbers_that_are_no_shares_may_be_large(optimizer: Any, name: str) -> None:
    assert optimizer(np.zeros(1), **{name: 2.5}).groups[0][name] == 2.5
    with pytest.raises(ValueError, match=f"{name} must be finite and >= 0"):
        optimizer(np.zeros(1), **{name: -0.5})


def test_what_v_starts_from_must_be_finite_in_each_parameter() -> None:
    double, single = np.zeros(1), np.zeros(1, np.float32)
    assert gs.Adagrad(double, initial_accumulator=3.5e38).state["0"]["v"] == 3.5e38
    message = r"group 1: initial_accumulator must be finite in float32, .* 'w', got 3\.5e\+38"
    with pytest.raises(ValueError, match=message):
        gs.Adagrad([{"params": double}, {"params": {"w": single}}], initial_accumulator=3.5e38)


# --- groups by name ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"betas": (0.9, 1.5)}, {"eps": "x"}, {"spam": 1}, {"amsgrad": True}]
)
def test_an_update_of_a_group_happens_whole_or_not_at_all(wrong: dict[str, Any]) -> None:
    opt = gs.Adam(np.zeros(1), lr=1.0)
    [group] = opt.groups
    before = dict(group)
    with pytest.raises((TypeError, ValueError)):
        group.update(lr=0.5, **wrong)
    with pytest.raises((TypeError, ValueError)):
        group.update({"lr": 0.5, **wrong})
    assert dict(group) == before
    group.update([("lr", 0.5)], betas=(0.5, 0.75))
    assert (opt.lr, group["betas"]) == (0.5, (0.5, 0.75))


def test_a_number_over_a_schedule_warns_once() -> None:
    schedule = gs.schedules.Cosine(0.1, 10)
    groups = [{"params": {name: np.zeros(1)}} for name in "ab"]
    opt = gs.SGD(groups, lr=schedule, max_norm=schedule)
    with pytest.warns(UserWarning, match=r"^lr followed a schedule, and is 0\.05 from") as caught:
        opt.lr *= 0.5
    assert [warning.filename for warning in caught] == [__file__]
    opt.lr = 0.25  # no schedule is dropped by now
    with pytest.warns(UserWarning, match="^max_norm followed a schedule") as caught:
        opt.max_norm = 1.0
    opt.groups[0]["lr"] = opt.groups[1]["lr"] = schedule
    with pytest.warns(UserWarning, match="^lr followed a schedule") as others:
        opt.groups[0]["lr"] = 1.0
    assert {warning.filename for warning in [*caught, *others]} == {__file__}
    opt.groups[1]["lr"] = gs.schedules.Constant(1.0)  # the warning's advice
    assert [group["lr"] for group in opt.groups] == [1.0, gs.schedules.Constant(1.0)]


def test_a_warning_that_is_an_error_changes_nothing() -> None:
    schedule = gs.schedules.Cosine(0.1, 10)
    opt = gs.SGD(np.zeros(1), lr=schedule, clip_value=schedule)
    with pytest.raises(UserWarning, match="lr followed"):
        opt.lr = 1.0
    with pytest.raises(UserWarning, match="clip_value followed"):
        opt.clip_value = 1.0
    assert (opt.groups[0]["lr"], opt.clip_value) == (schedule, schedule)


class OwnError(Exception):
    """Made of two things."""

    def __init__(self, n: int, _: str) -> None:
        super().__init__(n)


def own_error(n: int) -> float:
    if n > 0:
        raise OwnError(n, "")
    return 0.1


def overflowing(n: int) -> float:
    return float(10.0**n)


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        (
            lambda n: 0.1 if n < 2 else None,
            TypeError,
            "lr must be a number or a schedule, got None;",
        ),
        (lambda n: 0.1 - n, ValueError, r"^lr must be finite and >= 0, got -0\.9;"),
        (lambda n: 1 / (2 - n), ZeroDivisionError, r"^lr: its schedule failed at count 2: div"),
        (overflowing, OverflowError, r"^lr: its schedule failed at count 309: "),
        (lambda n: [0.1][n], IndexError, "^lr: its schedule failed at count 1: list index out of"),
        (own_error, OwnError, "^1"),
    ],
)
def test_a_schedule_that_fails_is_named_with_its_count(
    schedule: Any, error: type[Exception], message: str
) -> None:
    w = np.zeros(1)
    opt = gs.SGD(w, lr=schedule)

    def run() -> None:
        while opt.t < 400:
            opt.step(np.zeros(1))

    with pytest.raises(error, match=message) as caught:
        run()
    # A class of the user's own has a note, where the interpreter knows such.
    said = [str(caught.value), *getattr(caught.value, "__notes__", [])]
    noted = error is not OwnError or sys.version_info >= (3, 11)
    assert any(f"at count {opt.t}" in text for text in said) == noted
    raised = error if "failed" in message else type(None)  # or what it returned is refused
    assert type(caught.value.__cause__) is raised
    with pytest.raises(error, match=message):  # as where the state of that step is loaded
        gs.SGD(w, lr=schedule).load_state_dict(opt.state_dict())


def test_no_decay_on_biases() -> None:
    params = {
        "layers": [{"W": np.ones(2), "b": np.ones(1)}, {"W": np.ones(2), "b": np.ones(1)}],
        "scale": np.ones(1),
    }
    chosen = {"*.b": {"weight_decay": 0.0}, "scale": {"weight_decay": 0.0, "lr": 0.5}}
    opt = gs.SGD(gs.by_name(params, chosen), lr=0.25, weight_decay=0.5)
    assert opt.params is params
    assert [(group["lr"], group["weight_decay"]) for group in opt.groups] == [
        (0.25, 0.5),
        (0.25, 0.0),
        (0.5, 0.0),
    ]
    zero, one = np.zeros(2), np.ones(1)
    opt.step({"layers": [{"dW": zero, "db": one}] * 2, "dscale": one})
    for layer in params["layers"]:
        assert layer["W"].tolist() == [0.875] * 2
        assert layer["b"].tolist() == [0.75]
    assert params["scale"] == [0.5]
    assert list(opt.state) == ["layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b", "scale"]


def test_the_first_pattern_that_fits_counts() -> None:
    params = {"W1": np.ones(1), "W2": np.ones(1), "b1": np.ones(1)}
    opt = gs.SGD(gs.by_name(params, {"W1": {"lr": 1.0}, "W?": {"lr": 2.0}}), lr=3.0)
    opt.step(dict.fromkeys(params, np.ones(1)))
    assert {name: float(w[0]) for name, w in params.items()} == {"W1": 0, "W2": -1, "b1": -2}


def test_a_whole_name_means_that_parameter_brackets_and_all() -> None:
    params: dict[str, Any] = {
        "w": [np.zeros(1), np.zeros(1)],
        "W[1]": np.zeros(1),
        "W1": np.zeros(1),
    }
    opt = gs.SGD(gs.by_name(params, {"W[1]": {"lr": 1.0}, "W?": {"lr": 2.0}}), lr=3.0)
    opt.step({"w": [np.ones(1), np.ones(1)], "W[1]": np.ones(1), "W1": np.ones(1)})
    assert [*params["w"], params["W[1]"], params["W1"]] == [-3, -3, -1, -2]


def test_a_run_of_groups_by_name_goes_on() -> None:
    def make() -> tuple[dict[str, Array], gs.Optimizer]:
        params = {"W": np.ones(3), "b": np.ones(3)}
        return params, gs.AdamW(gs.by_name(params, {"b": {"weight_decay": 0.0}}), lr=0.1)

    whole, opt = make()
    parts, first = make()
    for n, g in enumerate(gradients(6)):
        opt.step({"W": g, "b": g})
        if n == 3:
            saved = first.state_dict()
            copies = {name: w.copy() for name, w in parts.items()}
            parts, first = make()
            for name, w in copies.items():
                parts[name][...] = w
            first.load_state_dict(saved)
        first.step({"W": g, "b": g})
    np.testing.assert_equal(parts, whole)


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        ({"c*": {"lr": 1.0}}, ValueError, r"pattern 'c\*' fits no parameter.* are W, b"),
        ({"*": {"lr": 1.0}, "b": {"lr": 2.0}}, ValueError, "pattern 'b' fits .* earlier"),
        ({"b": {"rate": 1.0}}, ValueError, "^'b': SGD has no hyperparameter 'rate'"),
        ({"b": {"lr": -1.0}}, ValueError, "'b': lr must be finite and >= 0"),
        ({"b": 0.0}, TypeError, r"overrides\['b'\] must be a mapping"),
        ({1: {"lr": 1.0}}, TypeError, "a pattern must be text, got 1"),
        ([], TypeError, "overrides must be a mapping"),
    ],
)
def test_patterns_that_cannot_be(overrides: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        gs.SGD(gs.by_name({"W": np.ones(1), "b": np.ones(1)}, overrides))


def test_what_is_grouped_by_name_takes_no_other_group() -> None:
    opt = gs.SGD(gs.by_name({"W": np.ones(1), "b": np.ones(1)}, {"b": {"lr": 1.0}}))
    with pytest.raises(ValueError, match="grouped by name"):
        opt.add_group({"params": np.ones(1)})


def test_the_rate_is_that_of_the_first_group_with_parameters() -> None:
    opt = gs.SGD(gs.by_name(np.ones(1), {"*": {"lr": 0.5}}), lr=0.25)
    assert opt.lr == 0.5


def test_a_state_of_other_groups_is_refused() -> None:
    def made(pattern: str) -> gs.Optimizer:
        params = {"a": np.ones(1), "b": np.ones(1)}
        return gs.SGD(gs.by_name(params, {pattern: {"lr": 0.5}}), lr=0.25)

    saved, other = made("b").state_dict(), made("a")
    assert [group["params"] for group in saved["groups"]] == [["a"], ["b"]]
    before = repr(other)
    with pytest.raises(
        ValueError, match=r"group 0 of the state has the parameters \['a'\], and here"
    ):
        other.load_state_dict(saved)
    assert repr(other) == before
    for group in saved["groups"]:
        del group["params"]  # as states were
    made("b").load_state_dict(saved)
