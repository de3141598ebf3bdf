"""Names that users write: keyword arguments and attributes, and the names of other packages for ours.

A name that does not exist is an error that lists the existing names and says what to write instead.
Values are checked elsewhere (checks.py, and the core).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

# The names of other packages and courses for an argument, and our names for it, each as it is written.
# The first one that exists for the function counts; "" exists for every function.
_PAIR = "betas=(β₁, β₂)"
_SCHEDULE = "a schedule as the learning rate, such as gradstep.schedules.InverseTimeDecay(...)"
_MOMENTUM = "gradstep.Momentum(params, lr, beta=..., dampening=0.0)"
_ELSEWHERE: Mapping[str, Sequence[tuple[str, str]]] = {
    "learning_rate": [("lr", "lr")],
    "learning_rate_init": [("lr", "lr"), ("learning_rate", "learning_rate")],
    "lr": [("learning_rate", "learning_rate")],
    "beta": [("betas", _PAIR), ("momentum", "momentum"), ("rho", "rho"), ("b1", "b1 or b2")],
    "beta1": [("betas", _PAIR), ("beta", "beta"), ("beta_1", "beta_1"), ("b1", "b1")],
    "beta2": [("betas", _PAIR), ("beta", "beta"), ("beta_2", "beta_2"), ("b2", "b2")],
    "betas": [("beta", "beta"), ("beta_1", "beta_1 and beta_2"), ("b1", "b1 and b2")],
    "epsilon": [("eps", "eps"), ("eps_root", "eps_root, inside of the root")],
    "eps": [("epsilon", "epsilon"), ("eps_root", "eps_root, inside of the root")],
    "momentum": [("beta", "beta"), ("betas", f"{_PAIR}, of which β₁ is that"), ("", _MOMENTUM)],
    "nesterov": [("", _MOMENTUM[:-1] + ", nesterov=True)")],
    "rho": [("beta", "beta"), ("betas", f"{_PAIR}, of which β₂ is that")],
    "alpha": [("beta", "beta for the decay of an average, lr for the rate"), ("lr", "lr")],
    "decay": [("beta", f"beta, or {_SCHEDULE}"), ("", _SCHEDULE)],
    "l2": [("weight_decay", "weight_decay")],
    "wd": [("weight_decay", "weight_decay")],
    "clipnorm": [("max_norm", "max_norm")],
    "clip_norm": [("max_norm", "max_norm")],
    "global_clipnorm": [("max_norm", "max_norm")],
    "max_grad_norm": [("max_norm", "max_norm")],
    "clipvalue": [("clip_value", "clip_value")],
    "use_ema": [("average", "average=gradstep.EWA(...)")],
}
_SPELLINGS = {"beta_1": "beta1", "beta_2": "beta2", "b1": "beta1", "b2": "beta2"}


def name_here(name: object, known: Collection[str]) -> tuple[str, str] | None:
    """Return our name for a name of other packages, and how it is written; None if it is not one."""
    names = _ELSEWHERE.get(_SPELLINGS.get(name, name), ()) if isinstance(name, str) else ()
    for ours, written in names:
        if not ours or ours in known:
            both = ours == "eps" and "eps_root" in known
            return ours, written + (", with eps_root=0.0 where ε is outside of the root" * both)
    return None


def called_here(name: object, known: Collection[str]) -> str:
    """Return what to write for a name of other packages or a misspelt one; "" if it is unknown."""
    found = name_here(name, known)
    if found is not None:
        return f"; here it is {found[1]}"
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1, cutoff=0.75) if isinstance(name, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""


def require_known(owner: str, function: Callable[..., Any], given: Collection[str]) -> None:
    """Raise TypeError if a keyword is not an argument of the function."""
    if not given:
        return
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
    """Let a function list its keywords if it is given one that does not exist."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except TypeError:
            require_known(f"{function.__name__}()", function, kwargs)
            raise

    return call


def given(arguments: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """Return the arguments in the ``locals()`` of a method, but for ``self`` and `without`.

    A signature is then written once, and no argument can be forgotten when all are passed on.
    """
    left_out = {"self", "__class__", *without}
    return {name: value for name, value in arguments.items() if name not in left_out}


def level_of_caller() -> int:
    """Return the `stacklevel` with which a warning names the line of the user that led to it."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("gradstep."):
        level, frame = level + 1, frame.f_back
    return level - 1  # not counting this function itself


class FixedAttributes:
    """An object that refuses keywords and attributes which would have no effect.

    A subclass of the user may have attributes of its own, but none with the name of an argument of
    ours.
    """

    if not TYPE_CHECKING:  # with these, a type checker would accept any keyword and attribute

        def __new__(cls, *_: Any, **arguments: Any) -> Any:
            """Refuse keywords that do not exist, and say which do."""
            require_known(cls.__name__, cls.__init__, arguments)
            return super().__new__(cls)

        def __setattr__(self, name: str, value: Any) -> None:
            if name[:1] == "_":
                object.__setattr__(self, name, value)
                return
            there = inspect.getattr_static(type(self), name, Ellipsis)
            fixed = isinstance(there, property) and there.fset is None
            absent = there is Ellipsis
            of_users = type(self).__module__.partition(".")[0] != "gradstep"
            if fixed or (absent and (self._is_argument(name) or not of_users)):
                advice = self._instead_of_setting(name)
                kind = "cannot be set" if fixed else "does not exist"
                raise AttributeError(
                    f"attribute {name!r} of {type(self).__name__} {kind}{advice}",
                    name=name,
                    obj=self,
                )
            object.__setattr__(self, name, value)

    def _is_argument(self, name: str) -> bool:
        """Whether a class of this package, among those of the object, takes such an argument."""
        return any(
            name in inspect.signature(vars(kind)["__init__"]).parameters
            for kind in type(self).__mro__
            if kind.__module__.startswith("gradstep.") and "__init__" in vars(kind)
        )

    def _instead_of_setting(self, name: str) -> str:
        """Return what to do instead of setting an attribute, behind a semicolon; "" if unknown."""
        if self._is_argument(name):
            return f"; arguments are fixed: make a new one, {type(self).__name__}(..., {name}=...)"
        known = [other for other in dir(type(self)) if other[:1] != "_" and other != name]
        return "" if hasattr(type(self), name) else called_here(name, known)
