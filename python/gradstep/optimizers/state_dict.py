"""The state of an optimizer as plain values, and the check of such a state before it is loaded.

The values of a group are in groups.py; files are in gradstep/checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import gradstep._core as _core
import gradstep.averaging as averaging
import gradstep.checks as checks
from gradstep._typing import Array
from gradstep.optimizers.groups import Change, Group, planned
from gradstep.optimizers.options import DEFAULTS
from gradstep.transaction import Prepared
from gradstep.values import from_state, frozen, to_state

States = Mapping[str, Mapping[str, Array]]


def plain_state(optimizer: str, snapshot: _core.Snapshot) -> dict[str, Any]:
    """Return a snapshot of the core as plain values, of the class of that name."""
    t, groups, states, layout, options, skipped, averages = snapshot
    state: States = layout.state
    return {
        "optimizer": optimizer,
        "t": t,
        "groups": [
            {
                **to_state(values),
                "start": start,
                "products": {name: list(pair) for name, pair in products.items()},
                "params": list(members),
            }
            for (values, start, products), members in zip(groups, layout.members, strict=True)
        ],
        "state": {
            name: dict(zip(arrays, copies, strict=True))
            for (name, arrays), copies in zip(state.items(), states, strict=True)
        },
        "options": to_state(options or DEFAULTS),
        "skipped": skipped,
        "average": None if averages is None else _plain_average(averages, list(state)),
    }


def _plain_average(averages: _core.Averages, names: Sequence[str]) -> dict[str, Any]:
    t, groups, copies = averages
    beta, flag = groups[0][0]
    return {
        "beta": beta,
        "bias_correction": flag,
        "t": t,
        "starts": [start for _, start, _ in groups],
        "arrays": dict(zip(names, copies, strict=True)),
    }


class LoadTarget:
    """What a state is compared with, and what is made of what fits."""

    def __init__(self, layout: Any, averages: _core.Stepper | None) -> None:
        self.members: Sequence[Sequence[str]] = layout.members  # of each group
        self.state: States = layout.state
        kept: averaging.AverageState | None = None if averages is None else averages.layout
        self.averages: Mapping[str, Array] = (
            {} if kept is None else dict(zip(layout.state, kept.averages, strict=True))
        )

    def states(self, fitting: Sequence[Sequence[Array] | None]) -> list[list[Array]]:
        """Return the arrays for each parameter of the stepper: the own ones where None fits."""
        return [
            list(arrays.values() if saved is None else saved)
            for arrays, saved in zip(self.state.values(), fitting, strict=True)
        ]

    def average(
        self, fitting: Sequence[Sequence[Array] | None], own: Sequence[Array]
    ) -> list[Array]:
        """Return the same for the averages, of which `own` are the present ones."""
        return [
            mine if saved is None else saved[0] for mine, saved in zip(own, fitting, strict=True)
        ]


class Loader:
    """Checks a state for one optimizer, and prepares to take it over.

    Parameters
    ----------
    optimizer : str
        The name of its class.
    stepper, averages : Stepper
        What keeps its state, and its averages if there are any.
    groups : list of Group
        All of its groups.
    strict : bool
        Whether all has to fit. Else parameters that do not fit keep what they have.
    here : LoadTarget, optional
        What the state is compared with: by default what the steppers have.
    """

    def __init__(
        self,
        optimizer: str,
        stepper: _core.Stepper,
        averages: _core.Stepper | None,
        groups: Sequence[Group],
        strict: bool,
        here: LoadTarget | None = None,
    ) -> None:
        self._optimizer = optimizer
        self._stepper = stepper
        self._averages = averages
        self._groups = groups
        self._strict = strict
        self._here = LoadTarget(stepper.layout, averages) if here is None else here
        self._kept: list[str] = []  # names of callables that were not saved
        self._missing: list[str] = []
        self._unexpected: list[str] = []

    def prepare(self, given: Mapping[str, Any]) -> Prepared:
        """Check all of a state and return what loading it does.

        Raises
        ------
        TypeError, ValueError
            If it is not of such an optimizer or, in one error that lists it all, does not fit.
        """
        state = checks.mapping("the state", given)
        missing = [key for key in ("optimizer", "t", "groups", "state") if key not in state]
        if missing:
            raise ValueError(f"not the state of an optimizer: it has no {missing[0]!r}")
        theirs, groups = state["optimizer"], state["groups"]
        if not isinstance(theirs, str) or theirs != self._optimizer:
            raise ValueError(
                f"the state is of {checks.shown(theirs)}, but this optimizer is {self._optimizer}"
            )
        if not isinstance(groups, list | tuple) or len(groups) != len(self._groups):
            raise ValueError(
                f"groups of the state must be a list of {len(self._groups)}, got "
                f"{checks.shown(groups)}"
            )
        t = checks.count("t", state["t"])
        changes = [
            self._group(group, members, saved)
            for group, members, saved in zip(self._groups, self._here.members, groups, strict=True)
        ]
        options = self._options(state["options"]) if "options" in state else None  # of old
        skipped = checks.count("skipped", state.get("skipped", 0))
        saved = checks.mapping("state of the state", state["state"])
        states = self._here.states(self._fitting(self._here.state, saved))
        averages = self._average(state.get("average"))
        if self._strict and (self._missing or self._unexpected):
            problems = "; ".join(self._missing + self._unexpected)
            raise ValueError(f"the state does not fit: {problems}")
        core = [self._stepper.prepare_change(planned(changes), t, states, options, skipped)]
        if averages is not None and self._averages is not None:
            core.append(self._averages.prepare_change(*averages))
        return Prepared(
            core,
            missing=self._missing,
            unexpected=self._unexpected,
            restores=[] if averages is None else [self._averages],
            warnings=[
                f"{name} was a callable that could not be saved; this optimizer's own is kept"
                for name in self._kept
            ],
        )

    def _group(self, group: Group, members: Sequence[str], given: object) -> Change:
        name = f"group {group.index} of the state"
        saved = checks.mapping(name, given)
        theirs = saved.pop("params", list(members))  # states of old have none
        named = isinstance(theirs, list | tuple) and all(type(n) is str for n in theirs)
        if not named or (self._strict and sorted(theirs) != sorted(members)):
            self._missing.append(
                f"{name} has the parameters {checks.shown(theirs)}, and here it has "
                f"{[*members]}: group them here as they were there"
            )
        change, kept = group.restored(saved)
        self._kept += kept
        return change

    def _options(self, given: object) -> dict[str, Any]:
        here: Mapping[str, Any] = self._stepper.options or DEFAULTS
        saved = checks.mapping("options of the state", given)
        options, kept = from_state("options of the state", saved, here)
        self._kept += kept
        return options

    def _average(
        self, given: object
    ) -> tuple[list[_core.Change], int, None, None, None, list[Array]] | None:
        """Return what the averages are to become, as `prepare_change` takes it."""
        if given is None and self._averages is None:
            return None
        if given is None:
            self._missing.append(
                "the average: not in the state, and this optimizer averages its parameters; make it "
                "without average="
            )
            return None
        if self._averages is None:
            self._unexpected.append(
                "the average: in the state, and this optimizer keeps none; make it with "
                "average=gs.EWA(...)"
            )
            return None
        saved = checks.mapping("average of the state", given)
        keys = ("beta", "bias_correction", "t", "starts", "arrays")
        if set(saved) != set(keys):
            raise ValueError(
                f"average of the state must have {', '.join(keys)}, got {checks.shown(list(saved))}"
            )
        starts, groups = saved["starts"], len(self._groups)
        if not isinstance(starts, list | tuple) or len(starts) != groups:
            raise ValueError(
                f"starts of the average must be a list of {groups}, got {checks.shown(starts)}"
            )
        flag = checks.flag("bias_correction", saved["bias_correction"])
        beta = frozen(saved["beta"])
        told = averaging.core_args(beta, flag)
        changes: list[_core.Change] = [
            (
                i,
                "ewa",
                told,
                self._averages.given(i),
                (beta, flag),
                checks.count("start", start),
                {},
            )
            for i, start in enumerate(starts)
        ]
        kept: averaging.AverageState = self._averages.layout
        values = self._fitting(
            {name: {"average": array} for name, array in self._here.averages.items()},
            {
                name: {"average": array}
                for name, array in checks.mapping("arrays of the average", saved["arrays"]).items()
            },
        )
        t = checks.count("t", saved["t"])
        return changes, t, None, None, None, self._here.average(values, kept.averages)

    def _fitting(self, here: States, state: Mapping[Any, Any]) -> list[list[Array] | None]:
        """Return for each of `here` the saved arrays where they fit."""
        for name in state:
            if name not in here:
                self._unexpected += _listed(name, {}, state[name]) or [
                    f"{_text(name)}: in the state, no parameter here"
                ]
        fitting: list[list[Array] | None] = []
        for name, arrays in here.items():
            saved: Mapping[Any, Any] = {}
            if name in state:
                saved = checks.mapping(f"{name!r} of the state", state[name])
            problems = _listed(name, arrays, saved)
            if name not in state and not arrays:
                problems = [f"{name}: not in the state, a parameter here"]
            self._missing += problems
            # All of a parameter's state or none of it.
            fitting.append(None if problems else [saved[key] for key in arrays])
        return fitting


def _listed(name: object, here: Mapping[str, Array], saved: object) -> list[str]:
    """Return all of a parameter's arrays that do not fit, with both sides."""
    there = saved if isinstance(saved, Mapping) else {}
    found = {key: _problem(here.get(key), there.get(key)) for key in {**here, **there}}
    return [
        f"{_text(name)}.{_text(key)}: {problem}"
        for key, problem in found.items()
        if problem is not None
    ]


def _problem(here: Array | None, saved: object) -> str | None:
    if here is None:
        return f"{_shown(saved)} in the state, not here"
    if saved is None:
        return f"not in the state, {_shown(here)} here"
    if not isinstance(saved, np.ndarray):
        return f"no array in the state, {_shown(here)} here"
    if not here.flags.writeable:
        return "read-only here"
    if (saved.shape, saved.dtype) != (here.shape, here.dtype):
        return f"{_shown(saved)} in the state, {_shown(here)} here"
    return None


def _shown(value: object) -> str:
    return f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else "no array"


def _text(key: object) -> str:
    return key if type(key) is str else checks.shown(key)
