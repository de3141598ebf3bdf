"""Names that users write: keyword arguments and attributes, and what other packages call ours.

A name that does not exist is an error that lists those that do, and says what to write instead.
Values are checked elsewhere (checks.py, and the core).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

# What other packages and courses call a hyperparameter: our names for it, each with how it is
# written. The first one counts that exists where the name was given; "" exists everywhere.
_ELSEWHERE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "learning_rate": (("lr", "lr"),),
    "learning_rate_init": (("lr", "lr"),),
    "lr": (("learning_rate", "learning_rate"),),
    "beta": (("betas", "betas=(β₁, β₂)"), ("momentum", "momentum"), ("rho", "rho")),
    "beta1": (("betas", "betas=(β₁, β₂)"), ("beta", "beta"), ("beta_1", "beta_1"), ("b1", "b1")),
    "beta2": (("betas", "betas=(β₁, β₂)"), ("beta", "beta"), ("beta_2", "beta_2"), ("b2", "b2")),
    "betas": (("beta", "beta"), ("beta_1", "beta_1 and beta_2"), ("b1", "b1 and b2")),
    "epsilon": (
        ("eps", "eps, outside of the root as in most packages (then with eps_root=0.0)"),
        ("eps_root", "eps_root, inside of the root"),
    ),
    "eps": (("epsilon", "epsilon"), ("eps_root", "eps_root, inside of the root")),
    "momentum": (
        ("beta", "beta"),
        ("betas", "betas=(β₁, β₂), of which β₁ is the momentum"),
        ("", "gradstep.Momentum(params, lr, beta=..., dampening=0.0)"),
    ),
    "nesterov": (("", "gradstep.Momentum(params, lr, beta=..., dampening=0.0, nesterov=True)"),),
    "rho": (("beta", "beta"), ("betas", "betas=(β₁, β₂), of which ρ is β₂")),
    "alpha": (("beta", "beta, the decay of an average; the learning rate is lr"), ("lr", "lr")),
    "decay": (
        ("beta", "beta, or a schedule for a rate that decays: lr=gradstep.schedules...."),
        ("", "a schedule for a rate that decays, lr=gradstep.schedules...., or weight_decay"),
    ),
    "l2": (("weight_decay", "weight_decay"),),
    "wd": (("weight_decay", "weight_decay"),),
    "clipnorm": (("max_norm", "max_norm"),),
    "global_clipnorm": (("max_norm", "max_norm"),),
    "max_grad_norm": (("max_norm", "max_norm"),),
    "clipvalue": (("clip_value", "clip_value"),),
    "use_ema": (("average", "average=gradstep.EWA(...)"),),
}
_SPELLINGS = {"beta_1": "beta1", "beta_2": "beta2", "b1": "beta1", "b2": "beta2"}


def called_here(name: object, known: Collection[str]) -> str:
    """Return what to write for a name of other packages, or one that is misspelt; "" if unknown."""
    if not isinstance(name, str):
        return ""
    for ours, written in _ELSEWHERE.get(_SPELLINGS.get(name, name), ()):
        if not ours or ours in known:
            return f"; here it is {written}"
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1, cutoff=0.75)
    return f"; did you mean {close[0]!r}?" if close else ""


def require_known(owner: str, function: Callable[..., Any], given: Iterable[str]) -> None:
    """Raise TypeError where a keyword is not an argument of the function."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters if parameter.name != "self"]
    for name in given:
        if name not in known:
            raise TypeError(
                f"{owner} has no argument {name!r}{called_here(name, known)} "
                f"(its arguments are {', '.join(known)})"
            )


def explains_keywords(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a function say which keywords it has where it is given one that it has not."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except TypeError:
            require_known(f"{function.__name__}()", function, kwargs)
            raise

    return call


def given(arguments: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """Return the arguments of a method as its ``locals()`` has them, but for ``self`` and `without`.

    A signature is then written once: nothing of it can be forgotten where it is passed on.
    """
    left_out = {"self", "__class__", *without}
    return {name: value for name, value in arguments.items() if name not in left_out}


class FixedAttributes:
    """An object that refuses to be given attributes which would have no effect.

    A user's subclass may have attributes of its own, but none that is called like an argument.
    """

    if not TYPE_CHECKING:  # a checker would take any attribute for granted

        def __setattr__(self, name: str, value: Any) -> None:
            if name[:1] == "_":
                object.__setattr__(self, name, value)
                return
            there = inspect.getattr_static(type(self), name, None)
            fixed = isinstance(there, property) and there.fset is None
            if there is not None and not fixed:
                object.__setattr__(self, name, value)
                return
            advice = self._instead_of_setting(name)
            if fixed or advice or type(self).__module__.partition(".")[0] == "gradstep":
                kind = "cannot be set" if fixed else "does not exist"
                raise AttributeError(
                    f"attribute {name!r} of {type(self).__name__} {kind}{advice}",
                    name=name,
                    obj=self,
                )
            object.__setattr__(self, name, value)

    def _instead_of_setting(self, name: str) -> str:
        """Return what to do instead of setting an attribute, behind a semicolon; "" if unknown."""
        *made, _ = [
            vars(kind)["__init__"] for kind in type(self).__mro__ if "__init__" in vars(kind)
        ]
        if any(name in inspect.signature(init).parameters for init in made):
            return f"; arguments are fixed: make a new one, {type(self).__name__}(..., {name}=...)"
        return called_here(name, [n for n in dir(type(self)) if n[:1] != "_"])
