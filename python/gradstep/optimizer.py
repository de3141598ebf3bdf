"""The base of every optimizer: parameters by name, state, saving, and the way into the core.

What is particular to a rule is one class in optimizers.py; the formulas are in cpp/rules.hpp;
hyperparameters are in groups.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from gradstep import _core, checks
from gradstep.groups import Change, Group, change_all, own, plain
from gradstep.structure import Structure, require_distinct

Array = np.ndarray[Any, np.dtype[Any]]


class Optimizer:
    """What all optimizers of this package have in common; use one of its subclasses.

    Attributes
    ----------
    params
        The structure given at construction; its arrays are updated in place.
    groups : list of mappings
        The hyperparameters of each group. Assigning to one changes it from the next step on.
    state : mapping
        The arrays of state by parameter and name: ``state["W1"]["m"]``.

    Notes
    -----
    A subclass gives its ``__init__`` with the public signature and `_rule`, which says by what rule
    of the core a group with given hyperparameters steps.
    """

    # Hyperparameters that only select a rule and mean nothing to the core.
    _selectors: ClassVar[frozenset[str]] = frozenset({"nesterov", "centered", "amsgrad"})
    # Hyperparameters on which it depends what state a rule keeps.
    _shapes: ClassVar[frozenset[str]] = frozenset({"momentum", "centered", "amsgrad"})
    # Whether weight decay shrinks the parameter instead of entering the gradient.
    _decoupled: ClassVar[bool] = False
    # What its function calls parameters and gradients.
    _arguments: ClassVar[tuple[str, str]] = ("w", "g")

    def __init__(self, params: Any, **hyperparameters: Any) -> None:
        self.params = params
        self._stepper = _core.new_stepper()
        self._structures: list[Structure] = []
        self.groups: list[Group] = []
        self._state: dict[str, Mapping[str, Array]] = {}
        # To be looked at and filled, not to be given other arrays, which a step would not see.
        self.state: Mapping[str, Mapping[str, Array]] = MappingProxyType(self._state)

        self._grouped = _is_list_of_groups(params)
        entries = params if self._grouped else [{"params": params}]
        planned = []
        first = 0
        for entry in entries:
            overrides = dict(entry)
            tree = overrides.pop("params", None)
            unknown = [key for key in overrides if key not in hyperparameters]
            if unknown:
                raise ValueError(
                    f"{type(self).__name__} has no hyperparameter {unknown[0]!r}; it has "
                    + ", ".join(hyperparameters)
                )
            structure = Structure(tree, first)
            # Positions are counted on through groups; what has keys takes none.
            if isinstance(tree, list | tuple):
                first += len(tree)
            elif not isinstance(tree, Mapping):
                first += 1
            planned.append((structure, tree, {**hyperparameters, **overrides}))
        require_distinct(name for structure, _, _ in planned for name in structure.names)
        if not any(structure.names for structure, _, _ in planned):
            raise ValueError("params holds no arrays; pass at least one parameter")

        for structure, tree, values in planned:
            self._add(structure, tree, values)
        self._stepper.check()
        self._expect_gradients()

    def _add(self, structure: Structure, tree: object, values: dict[str, Any]) -> None:
        try:
            group = Group(self._stepper, values, self._rule, self._core_values)
        except (TypeError, ValueError) as error:
            if not self._grouped or type(error) not in (TypeError, ValueError):
                raise
            raise type(error)(f"group {len(self.groups)}: {error}") from None
        self._structures.append(structure)
        self.groups.append(group)
        given = structure.flatten(tree)
        kept = self._stepper.add_parameters(group.index, structure.names, given)
        state_names = _core.state_names(group.rule)
        for name, arrays in zip(structure.names, kept, strict=True):
            self._state[name] = MappingProxyType(dict(zip(state_names, arrays, strict=True)))

    def _expect_gradients(self) -> None:
        """Tell the core in what structure the gradients of a step come."""
        if not self._grouped:
            structure = self._structures[0]
            self._stepper.expect(
                structure.flatten_gradients, structure.flat_keys(), structure.is_flat_list()
            )
            return

        def flatten(grads: Any) -> Sequence[Any]:
            if not isinstance(grads, list | tuple):
                raise TypeError(
                    "grads must be a list with one entry for each group, "
                    f"got {type(grads).__name__}"
                )
            if len(grads) != len(self.groups):
                raise ValueError(
                    f"grads must have one entry for each of the {len(self.groups)} groups, "
                    f"got {len(grads)}"
                )
            return [
                leaf
                for structure, tree in zip(self._structures, grads, strict=True)
                for leaf in structure.flatten_gradients(tree)
            ]

        self._stepper.expect(flatten, [], False)

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        """Return the name of the core's rule for a group with these hyperparameters."""
        raise NotImplementedError(
            f"{cls.__name__} has no rule; use a subclass such as gradstep.Adam"
        )

    @classmethod
    def _core_values(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return hyperparameters as the core names them."""
        core: dict[str, Any] = {"decoupled": cls._decoupled}
        for name, value in values.items():
            if name in cls._selectors:
                checks.flag(name, value)
            elif name == "betas":
                if not isinstance(value, tuple | list) or len(value) != 2:
                    raise ValueError(f"betas must be a pair of numbers, got {checks.shown(value)}")
                core["beta1"], core["beta2"] = value
            elif name == "dampening" and value is None:
                core[name] = values["beta"]  # the average: what is kept and what comes in sum to 1
            else:
                core[name] = value
        return core

    def step(self, grads: Any) -> None:
        """Take one step: update every parameter in place.

        Parameters
        ----------
        grads
            The gradients, in the structure of the parameters; in a dict, the same keys or every
            innermost key with a leading ``d`` (``"dW1"`` for ``"W1"``); with groups, a list with
            one entry for each. Each has its parameter's shape and dtype and any memory layout, and
            is only read.

        Raises
        ------
        TypeError
            If something is not an array, or has a dtype that is not its parameter's.
        ValueError
            If a key, a length or a shape differs, an array became read-only, or two of the arrays
            share memory.
        RuntimeError
            If another thread is stepping this optimizer.

        Notes
        -----
        A step happens whole or not at all: every error comes before any byte has changed.
        """
        self._stepper.step(grads)

    @property
    def lr(self) -> float:
        """The learning rate of the next step (of the first group). Assigning sets all groups'."""
        return self._stepper.get(0, "lr")

    @lr.setter
    def lr(self, value: float | Callable[[int], float]) -> None:
        change_all(self._stepper, [group.changed("lr", value) for group in self.groups])

    @property
    def t(self) -> int:
        """The number of steps taken."""
        return self._stepper.t

    def __repr__(self) -> str:
        if len(self.groups) == 1:
            return f"{type(self).__name__}({self.groups[0].listed()})"
        lines = "".join(f"\n  {group.listed()}" for group in self.groups)
        return f"{type(self).__name__}({len(self.groups)} groups:{lines}\n)"

    def __reduce__(self) -> Any:
        raise TypeError(
            f"a {type(self).__name__} is tied to its parameters' memory and cannot be copied or "
            "pickled; make one over the other parameters and use state_dict() and load_state_dict()"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot: copies of all state, hyperparameters and `t`, as plain values.

        A schedule of `gradstep.schedules` is kept by name and arguments. Another callable is not
        kept: its name stands under ``"own"``, and loading leaves the loading optimizer's in place.

        Examples
        --------
        >>> import numpy as np, gradstep as gs
        >>> opt = gs.Momentum({"w": np.ones(2, np.float32)}, lr=0.1)
        >>> opt.step({"w": np.ones(2, np.float32)})
        >>> saved = opt.state_dict()
        >>> saved["t"], saved["state"]["w"]["m"]
        (1, array([0.1, 0.1], dtype=float32))
        """
        t, groups, states = self._stepper.snapshot()
        return {
            "optimizer": type(self).__name__,
            "t": t,
            "groups": [{**plain(values), "start": start} for values, start in groups],
            "state": {
                name: dict(zip(arrays, copies, strict=True))
                for (name, arrays), copies in zip(self.state.items(), states, strict=True)
            },
        }

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned: state, hyperparameters and `t`. All or nothing.

        Parameters
        ----------
        d : mapping
            From an optimizer of the same class over parameters of the same names and shapes.

        Raises
        ------
        TypeError, ValueError
            If anything is not what it should be or does not fit; nothing has changed.

        Warns
        -----
        UserWarning
            Where a hyperparameter was a callable that could not be saved; the own one is kept.
        """
        t, changes, states, kept = self._plan_load(d)
        for name in kept:
            warnings.warn(
                f"{name} was a callable that could not be saved; this optimizer's own is kept",
                stacklevel=2,
            )
        change_all(self._stepper, changes, t, states)

    def _plan_load(
        self, d: Mapping[str, Any]
    ) -> tuple[int, list[Change], list[list[Array]], list[str]]:
        """Check all of a state dict and return what loading it sets and what it leaves alone."""
        keys = ("optimizer", "t", "groups", "state")
        d = checks.mapping("the state", d)
        missing = [key for key in keys if key not in d]
        if missing:
            raise ValueError(f"not the state of an optimizer: it has no {missing[0]!r}")
        if not isinstance(d["optimizer"], str) or d["optimizer"] != type(self).__name__:
            raise ValueError(
                f"the state is of {checks.shown(d['optimizer'])}, but this optimizer is {type(self).__name__}"
            )
        if not isinstance(d["groups"], list | tuple) or len(d["groups"]) != len(self.groups):
            raise ValueError(
                f"groups of the state must be a list of {len(self.groups)}, got {checks.shown(d['groups'])}"
            )
        t = checks.count("t", d["t"])
        states = self._saved_arrays(checks.mapping("state of the state", d["state"]))
        changes: list[Change] = []
        kept: list[str] = []
        for group, saved in zip(self.groups, d["groups"], strict=True):
            name = f"group {group.index} of the state"
            change, left = group.restored(checks.mapping(name, saved))
            changes.append(change)
            kept += left
        return t, changes, states, kept

    def _saved_arrays(self, state: dict[Any, Any]) -> list[list[Array]]:
        """Return the saved state of each parameter; ValueError unless all of it fits."""
        states: list[list[Array]] = []
        problems = [f"{name!r} is not a parameter here" for name in state if name not in self.state]
        for name, arrays in self.state.items():
            if name not in state:
                problems.append(f"{name!r} is missing")
                continue
            saved_arrays = checks.mapping(f"{name!r} of the state", state[name])
            if set(arrays) != set(saved_arrays):
                problems.append(
                    f"{name!r} has {checks.shown(list(saved_arrays))}, expected {list(arrays)}"
                )
                continue
            states.append([saved_arrays[key] for key in arrays])
            for (key, array), saved in zip(arrays.items(), states[-1], strict=True):
                if not isinstance(saved, np.ndarray):
                    problems.append(f"{name}.{key} is no array")
                elif not array.flags.writeable:
                    problems.append(f"{name}.{key} has been made read-only here")
                elif (saved.shape, saved.dtype) != (array.shape, array.dtype):
                    problems.append(
                        f"{name}.{key} is {saved.dtype}{saved.shape}, "
                        f"expected {array.dtype}{array.shape}"
                    )
        if problems:
            raise ValueError("the state does not fit: " + "; ".join(problems))
        return states

    @classmethod
    def _apply(
        cls, w: object, g: object, state: Mapping[str, object], t: int | None, **values: Any
    ) -> None:
        """Take one step over arrays whose state the caller keeps; see functional.py."""
        values = {name: own(value) for name, value in values.items()}
        rule = cls._rule(values)
        needed = _core.state_names(rule)
        _require_states(state, needed, {key: values[key] for key in values if key in cls._shapes})
        if t is None:
            if values.get("bias_correction") is True:
                raise ValueError("bias_correction=True needs t, the number of this step, from 1 on")
            scheduled = [name for name, value in values.items() if callable(value)]
            if scheduled:
                raise TypeError(
                    f"{scheduled[0]} must be a number here, got a callable: this function does not "
                    f"know how many steps were taken; call it yourself, {scheduled[0]}=schedule(n)"
                )
            t = 1
        t = checks.count("t", t, least=1)
        several = isinstance(w, list | tuple)
        parameter, gradient = cls._arguments
        if several and not w:
            raise ValueError(f"{parameter} holds no arrays; pass at least one parameter")
        arguments = {parameter: w, gradient: g, **{name: state[name] for name in needed}}
        columns = [
            _listed_like(several, parameter, w, name, given) for name, given in arguments.items()
        ]

        stepper = _core.new_stepper(t - 1)
        index = stepper.add_group(rule, cls._core_values(values))
        for i, (wi, _, *si) in enumerate(zip(*columns, strict=True)):
            stepper.add_parameter(index, f"{parameter}[{i}]" if several else parameter, wi, si)
        stepper.step(columns[1])


def _is_list_of_groups(params: object) -> bool:
    if not isinstance(params, list | tuple) or not params:
        return False
    groups = [isinstance(entry, Mapping) and "params" in entry for entry in params]
    if any(groups) and not all(groups):
        raise ValueError(
            f"entry {groups.index(False)} of params is no group; where one entry is a dict with "
            "the key 'params', all have to be"
        )
    return all(groups)


def _require_states(
    state: Mapping[str, object], needed: Sequence[str], shapes: Mapping[str, Any]
) -> None:
    because = (
        " with " + ", ".join(f"{k}={checks.shown(v)}" for k, v in shapes.items()) if shapes else ""
    )
    for name, given in state.items():
        if given is None and name in needed:
            raise ValueError(f"{name} is needed{because}: pass zeros in the shape of w at first")
        if given is not None and name not in needed:
            raise ValueError(f"{name} is not used{because}: leave it out")


def _listed_like(several: bool, like: str, w: Any, name: str, given: Any) -> Sequence[Any]:
    """Return `given` as a list as long as the parameters: functions take one array each, or lists of them."""
    if not several:
        return [given]
    if not isinstance(given, list | tuple):
        raise TypeError(f"{like} is a list, so {name} must be one too, got {type(given).__name__}")
    if len(given) != len(w):
        raise ValueError(f"{name} must have {len(w)} entries, like {like}, got {len(given)}")
    return given
