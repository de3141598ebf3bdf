"""Names that users write: keywords, attributes, and what other packages call ours."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

import gradstep as gs

OPTIMIZERS = [
    kind
    for place in (gs, gs.compat.torch, gs.compat.keras, gs.compat.optax)
    for name in place.__all__
    if isinstance(kind := getattr(place, name), type) and issubclass(kind, gs.Optimizer)
]
OPTIONS = ["max_norm", "clip_value", "nonfinite", "average"]


@pytest.mark.parametrize("kind", [k for k in OPTIMIZERS if k is not gs.Optimizer])
def test_signatures_are_explicit(kind: type[gs.Optimizer]) -> None:
    parameters = inspect.signature(kind).parameters
    assert [p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD] == []
    assert [name for name in parameters if name in OPTIONS] == OPTIONS


def public(place: Any) -> list[tuple[str, Any]]:
    """Return the functions and methods of everything public in a module, by name."""
    found: list[tuple[str, Any]] = []
    for name in place.__all__:
        thing = getattr(place, name)
        if isinstance(thing, types.ModuleType):
            found += public(thing) if hasattr(thing, "__all__") else []
        elif isinstance(thing, type):
            found += [
                (f"{name}.{member}", method)
                for member, method in inspect.getmembers(thing, inspect.isfunction)
                if member == "__init__" or not member.startswith("_")
            ]
        elif inspect.isfunction(thing):
            found.append((name, thing))
    return found


@pytest.mark.parametrize("function", [pytest.param(f, id=name) for name, f in public(gs)])
def test_type_hints_can_be_had(function: Callable[..., Any]) -> None:
    typing.get_type_hints(function)


W = np.ones(2)
ELSEWHERE: list[tuple[Any, str, str]] = [
    (gs.Adam, "learning_rate", "here it is lr "),
    (gs.Adam, "learning_rate_init", "here it is lr "),
    (gs.Adam, "beta1", "here it is betas=(β₁, β₂) "),
    (gs.Adam, "beta_2", "here it is betas=(β₁, β₂) "),
    (gs.Adam, "epsilon", "here it is eps, with eps_root=0.0 where ε is outside of the root "),
    (gs.compat.torch.Adam, "epsilon", "here it is eps "),
    (gs.Adadelta, "epsilon", "here it is eps_root, inside of the root"),
    (gs.Adam, "momentum", "here it is betas=(β₁, β₂), of which β₁ is that"),
    (gs.Adam, "decay", "here it is a schedule as the learning rate, such as gradstep.schedules.Inv"),
    (gs.SGD, "momentum", "here it is gradstep.Momentum(params, lr, beta=..., dampening=0.0)"),
    (gs.SGD, "nesterov", "here it is gradstep.Momentum(params, lr, beta=..., dampening=0.0, nest"),
    (gs.Momentum, "momentum", "here it is beta "),
    (gs.RMSprop, "rho", "here it is beta "),
    (gs.RMSprop, "decay", "here it is beta, or a schedule as the learning rate"),
    (gs.Lion, "clipnorm", "here it is max_norm "),
    (gs.Lion, "weight_dekay", "did you mean 'weight_decay'? "),
    (gs.Lion, "zzz", "Lion has no argument 'zzz' (its arguments are params, lr, betas, weight_dec"),
    (gs.compat.torch.RMSprop, "beta", "here it is momentum "),
    (gs.compat.keras.Adam, "betas", "here it is beta_1 and beta_2 "),
    (gs.compat.keras.Adam, "lr", "here it is learning_rate "),
    (gs.compat.keras.Adam, "beta1", "here it is beta_1 "),
    (gs.compat.optax.adam, "beta", "here it is b1 or b2 "),
    (gs.EWA, "decay", "EWA has no argument 'decay'; here it is beta, or a schedule"),
    (gs.MiniBatches, "batchsize", "MiniBatches has no argument 'batchsize'; did you mean 'batch_s"),
    (gs.Accumulator, "steps", "Accumulator has no argument 'steps' (its arguments are optimizer, e"),
    (gs.LossScaler, "init_scale", "LossScaler has no argument 'init_scale' (its arguments are optimi"),
    (gs.functional.adam, "learning_rate", "adam() has no argument 'learning_rate'; here it is lr "),
    (gs.functional.sgd, "weight_dekay", "did you mean 'weight_decay'? "),
]  # fmt: skip


@pytest.mark.parametrize(("call", "name", "message"), ELSEWHERE)
def test_a_keyword_of_other_packages_says_what_it_is_called_here(
    call: Any, name: str, message: str
) -> None:
    given = [W] * 4 if inspect.isfunction(call) else [W]
    with pytest.raises(TypeError) as caught:
        call(*given, **{name: 0.5})
    assert message in str(caught.value)


def test_advice_on_momentum_works_when_it_is_followed() -> None:
    ours, theirs = np.ones(3), np.ones(3)
    opt = gs.Momentum(ours, 0.1, beta=0.9, dampening=0.0)
    peer = gs.compat.torch.SGD(theirs, 0.1, momentum=0.9)
    for g in (np.arange(3.0), np.ones(3)):
        opt.step(g)
        peer.step(g)
    assert ours.tolist() == theirs.tolist()


ATTRIBUTES: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: gs.Adam(W), "weight_decay", "hyperparameter of each group: write opt.groups[0]['wei"),
    (lambda: gs.Adam(W), "epsilon", "write opt.groups[0]['eps'] = ..."),
    (lambda: gs.Adam(W), "beta1", "write opt.groups[0]['betas'] = ..."),
    (lambda: gs.Adam(W), "amsgrad", "does not exist; it is chosen when the optimizer is made"),
    (lambda: gs.Adam(W), "betas", "write opt.groups[0]['betas'] = ..."),
    (lambda: gs.Adam(W), "learning_rate", "'learning_rate' of Adam does not exist; here it is lr"),
    (lambda: gs.Adam(W), "max_nrom", "did you mean 'max_norm'?"),
    (lambda: gs.Adam(W), "spam", "attribute 'spam' of Adam does not exist"),
    (lambda: gs.Adam(W), "t", "attribute 't' of Adam cannot be set; it can only be read"),
    (lambda: gs.Adam(W), "grad_norm", "attribute 'grad_norm' of Adam cannot be set"),
    (lambda: gs.Adam(W).groups[0], "lr", "a group is a mapping: write group['lr'] = ..."),
    (lambda: gs.Adam(W).groups[0], "index", "attribute 'index' of Group cannot be set"),
    (lambda: gs.compat.keras.SGD(W), "momentum", "write opt.groups[0]['momentum'] = ..."),
    (lambda: gs.EWA(), "beta", "arguments are fixed: make a new one, EWA(..., beta=...)"),
    (lambda: gs.EWA(), "spam", "attribute 'spam' of EWA does not exist"),
    (lambda: gs.EWA(), "t", "attribute 't' of EWA cannot be set"),
    (lambda: gs.Adam(W, average=gs.EWA()).averaged(), "spam", "attribute 'spam' of _Averaged does"),
    (lambda: gs.MiniBatches(W), "batch_size", "make a new one, MiniBatches(..., batch_size=...)"),
    (lambda: gs.MiniBatches(W), "epoch", "attribute 'epoch' of MiniBatches cannot be set"),
    (lambda: gs.Accumulator(gs.Adam(W), 2), "every", "make a new one, Accumulator(..., every=...)"),
    (lambda: gs.Accumulator(gs.Adam(W), 2), "lr", "attribute 'lr' of Accumulator does not exist"),
    (lambda: gs.LossScaler(gs.Adam(W, nonfinite="skip")), "scale", "LossScaler(..., scale=...)"),
    (lambda: gs.schedules.Cosine(0.1, 10), "lr", "cannot assign to field 'lr'"),
    (lambda: gs.Loaded({}), "spam", "attribute 'spam' of Loaded does not exist"),
    (lambda: gs.BackgroundSave("", None), "path", "attribute 'path' of BackgroundSave cannot be s"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "name", "message"), ATTRIBUTES)
def test_an_attribute_that_would_have_no_effect_is_refused(
    make: Callable[[], Any], name: str, message: str
) -> None:
    thing = make()
    with pytest.raises(AttributeError) as caught:
        setattr(thing, name, 0.5)
    assert message in str(caught.value)


def test_the_advice_on_a_hyperparameter_works_when_it_is_followed() -> None:
    opt = gs.SGD(w := np.ones(2), lr=1.0)
    opt.groups[0]["weight_decay"] = 0.5
    opt.step(np.zeros(2))
    assert w.tolist() == [0.5, 0.5]


def test_a_subclass_has_attributes_of_its_own_but_no_hyperparameters() -> None:
    class Mine(gs.Adam):
        name: str | None = None

        def __init__(self, params: Any, decay: float = 0.5) -> None:
            self.history: list[float] = []  # before there is anything else
            super().__init__(params)
            self.steps, self.decay = 0, decay  # like eps, and a word of other packages

    opt = Mine(np.ones(2))
    opt.note = "kept"  # type: ignore[attr-defined]
    opt.name = "other"
    assert (cast(Any, opt).note, opt.name, opt.steps, opt.decay) == ("kept", "other", 0, 0.5)
    with pytest.raises(AttributeError, match=r"write opt\.groups\[0\]\['weight_decay'\]"):
        opt.weight_decay = 0.5  # type: ignore[attr-defined]
    opt.lr = 0.5
    assert opt.lr == 0.5


def test_a_subclass_of_others_keeps_its_own_arguments() -> None:
    class Mine(gs.MiniBatches):
        def __init__(self, X: Any, batch_size: int, epochs: int) -> None:
            super().__init__(X, batch_size=batch_size)
            self.epochs = epochs

    batches = Mine(np.ones(4), 2, epochs=3)
    assert batches.epochs == 3
    for name in ("batch_size", "seed"):
        with pytest.raises(AttributeError, match=f"'{name}' of Mine .*; arguments are fixed"):
            setattr(batches, name, 3)


def test_a_subclass_may_take_keywords_of_its_own() -> None:
    class Mine(gs.Adam):
        def __init__(self, params: Any, pace: float, **others: Any) -> None:
            super().__init__(params, pace, **others)

    assert Mine(np.ones(2), pace=0.5, eps=1.0).lr == 0.5
    with pytest.raises(TypeError, match="'learning_rate'"):
        Mine(np.ones(2), pace=0.5, learning_rate=1.0)
