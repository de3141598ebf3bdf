"""A coverage-guided fuzzer: bytes are read as a program of calls into the package and its core.

Any call may be refused, with an error of a documented kind, and then nothing has changed; nothing
may crash. The extension is built with Clang's sanitizers, whose coverage guides the search; see
`nox -s fuzz`. A file that libFuzzer has written is run again by giving its name as argument.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris
import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

with atheris.instrument_imports(include=["gradstep"]):
    import gradstep as gs
    from gradstep import _core

sys.path.insert(0, str(Path(__file__).parents[1]))

from anything import HOSTILE, OURS, PLAIN, OwnError

Array = NDArray[Any]
VALUES = PLAIN + HOSTILE
# The core itself refuses a position with an IndexError.
REFUSALS = (*OURS, OwnError, IndexError, UserWarning)

OPTIMIZERS = [gs.SGD, gs.Momentum, gs.RMSprop, gs.Adam, gs.AdamW]
NAMES = [
    "lr", "beta", "betas", "dampening", "momentum", "eps", "eps_root", "weight_decay", "maximize",
    "nesterov", "centered", "amsgrad", "bias_correction", "beta1", "beta2", "decoupled", "params",
]  # fmt: skip
RULES = [
    "sgd", "momentum", "nesterov", "adam", "amsgrad", "ewa", "rmsprop", "rmsprop_centered",
    "rmsprop_momentum", "none",
]  # fmt: skip
DTYPES = [np.dtype(name) for name in ("f4", "f4", "f4", "f8", "f8", "f2", "i8", "O", ">f4", "V40")]
SHAPES = [(3,), (3,), (2, 3), (), (0,), (1, 1), (2, 0, 3), (40, 30), (5000,), (2, 1, 2, 1, 2)]
KEYS = ["a", "b", "da", "db", "w", "a.b", "params", 0, None, "\ud800", (1, 2)]


class Program:
    """The bytes of one run, as choices; they end in zeros."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)
        self.over = False
        self.shared = np.zeros(64, np.uint8)  # memory in which several arrays may lie

    def byte(self) -> int:
        for byte in self._bytes:
            return byte
        self.over = True
        return 0

    def pick(self, choices: Any) -> Any:
        n = self.byte()
        if len(choices) > 256:
            n = n << 8 | self.byte()
        return choices[n % len(choices)]

    def value(self) -> Any:
        return self.pick(VALUES)()

    def number(self) -> Any:
        """Return mostly what is in range."""
        choice = self.byte()
        return choice / 256 if choice < 200 else self.value()

    def whole(self) -> Any:
        choice = self.byte()
        return choice - 4 if choice < 200 else 2**63 - choice if choice < 220 else self.value()

    def array(self) -> Any:
        return self.laid_out(np.zeros(self.pick(SHAPES), self.pick(DTYPES)))

    def laid_out(self, array: Array) -> Any:
        """Return an array like this one in some layout."""
        layout = self.byte() % 16
        if layout == 1:
            return np.asfortranarray(array).reshape(array.shape)
        if layout == 2:
            return array[..., ::-1] if array.ndim else array
        if layout == 3 and array.ndim:
            return np.repeat(array, 2, axis=0)[::2]
        if layout == 4:
            return array.T
        if layout == 5:
            return np.broadcast_to(array, array.shape)
        if layout == 6 and array.ndim:
            return as_strided(array, array.shape, (0,) * array.ndim)
        if layout == 7 and array.nbytes < 48:
            memory = self.shared[self.byte() % 16 :][: array.nbytes]
            return np.ndarray(array.shape, array.dtype, memory) if array.dtype != "O" else array
        if layout == 8:
            memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
            return np.ndarray(array.shape, array.dtype, memory) if array.dtype != "O" else array
        return array

    def like(self, array: Any) -> Any:
        """Return mostly a gradient that fits."""
        if isinstance(array, np.ndarray) and self.byte() < 240:
            return self.laid_out(np.ones(array.shape, array.dtype))
        return self.value()

    def tree(self, leaf: Callable[[], Any], depth: int = 0) -> Any:
        kind = self.byte() % 16
        if kind < 8 or depth > 2:
            return leaf()
        children = [self.tree(leaf, depth + 1) for _ in range(self.byte() % 4)]
        if kind < 11:
            return children
        if kind < 12:
            return tuple(children)
        if kind < 15:
            return {self.pick(KEYS): child for child in children}
        return self.value()

    def options(self) -> dict[str, Any]:
        return {self.pick(NAMES): self.number() for _ in range(self.byte() % 3)}


REFUSED = object()


class Count:
    """How much was executed: libFuzzer counts programs, of which each calls several entry points."""

    programs = calls = 0


def attempt(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what a call gives, or REFUSED; an error that is none of ours comes through."""
    Count.calls += 1
    try:
        return call(*arguments, **options)
    except BaseException as error:
        if type(error) not in REFUSALS:
            raise
        return REFUSED


def require(truth: bool, what: str) -> None:
    """Raise where something is not as it should be."""
    if not truth:
        raise AssertionError(what)


def mapped(tree: Any, change: Callable[[Any], Any], depth: int = 0) -> Any:
    """Return a plain structure with every leaf changed."""
    if type(tree) is dict and depth < 5:
        return {key: mapped(child, change, depth + 1) for key, child in tree.items()}
    if type(tree) in (list, tuple) and depth < 5:
        return [mapped(child, change, depth + 1) for child in tree]
    return change(tree)


def damaged(p: Program, tree: Any) -> Any:
    """Return a state with something replaced, left out or added, or as it is."""
    choice = p.byte() % 8
    if choice == 0:
        return p.value()
    if choice == 1 or not isinstance(tree, dict | list) or not tree:
        return tree
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    copied, key = tree.copy(), p.pick(keys)
    if choice == 2:
        del copied[key]
    elif choice == 3 and isinstance(tree, dict):
        copied[p.pick(KEYS)] = p.value()
    else:
        copied[key] = damaged(p, copied[key])
    return copied


def optimize(p: Program) -> None:
    """An optimizer over anything, stepped, changed, saved and loaded."""
    params: Any = p.tree(p.array if p.byte() < 200 else p.value)
    kind, options, grouped = p.pick(OPTIMIZERS), p.options(), p.byte() % 4 == 0
    given = [{"params": params, **options}] if grouped else params
    opt = attempt(kind, given, **({} if grouped or "params" in options else options))
    if opt is REFUSED:
        params, grouped = {"a": np.ones(3, np.float32), "b": np.ones((2, 2))}, False
        opt = kind(params)
    written: list[Array] = []
    mapped(params, lambda leaf: written.append(leaf) if type(leaf) is np.ndarray else None)
    saved = opt.state_dict()
    while not p.over:
        before, t, stepped = [w.tobytes() for w in written], opt.t, False
        action = p.byte() % 8
        if action < 4:
            grads = mapped(params, p.like) if p.byte() < 200 else p.tree(p.array)
            stepped = attempt(opt.step, [grads] if grouped else grads) is not REFUSED
            require(opt.t == t + stepped, "t moves by one, or not at all")
        elif action == 4:
            attempt(opt.groups[0].__setitem__, p.pick(NAMES), p.number())
        elif action == 5:
            attempt(opt.load_state_dict, damaged(p, saved))
        elif action == 6:
            attempt(setattr, opt, "lr", p.number())
        else:
            saved = opt.state_dict()
        if not stepped:
            require([w.tobytes() for w in written] == before, "what is refused changes nothing")


FUNCTIONS: list[tuple[Callable[..., Any], int]] = [
    (gs.functional.sgd, 2),
    (gs.functional.ewa, 2),
    (gs.functional.momentum, 3),
    (gs.functional.rmsprop, 3),
    (gs.functional.adam, 4),
    (gs.functional.adamw, 4),
]


def functions(p: Program) -> None:
    """The optimizers as functions, with state of the caller's."""
    while not p.over:
        call, count = p.pick(FUNCTIONS)
        w = p.tree(p.array)
        arrays = [w, *(mapped(w, p.like) for _ in range(count - 1))]
        options = {"lr": p.number(), **p.options()} if call is not gs.functional.ewa else {}
        if p.byte() < 160 and count > 2:
            options["t"] = p.whole()
        attempt(call, *arrays, **options)


def averages(p: Program) -> None:
    """Averages one by one, of a series, saved and loaded."""
    corrected = p.pick([True, False, None])
    average = attempt(gs.EWA, p.number(), bias_correction=corrected)
    if average is REFUSED:
        average = gs.EWA()
    x = p.tree(p.array)
    while not p.over:
        t, action = average.t, p.byte() % 4
        if action < 2:
            value = mapped(x, p.like) if p.byte() < 200 else p.tree(p.value)
            updated = attempt(average.update, value) is not REFUSED
            require(average.t == t + updated, "t moves by one, or not at all")
        elif action == 2:
            attempt(average.load_state_dict, damaged(p, average.state_dict()))
        else:
            series = p.value() if p.byte() < 100 else p.array()
            attempt(gs.ewa, series, p.number(), bias_correction=corrected)


BATCHES = ["batch_size", "shuffle", "drop_last", "axis", "seed", "shard", "prepare"]


def batches(p: Program) -> None:
    """Mini-batches of anything, broken off, saved and loaded."""
    arrays = [p.array() if p.byte() < 240 else p.value() for _ in range(1 + p.byte() % 2)]
    options = {p.pick(BATCHES): p.whole() for _ in range(p.byte() % 3)}
    handed = attempt(gs.MiniBatches, *arrays, **{"seed": 0, **options})
    if handed is REFUSED:
        handed = gs.MiniBatches(np.arange(12).reshape(6, 2), batch_size=4, seed=0)
    while not p.over:
        if p.byte() % 3 == 0:
            attempt(handed.load_state_dict, damaged(p, handed.state_dict()))
        else:
            attempt(list, itertools.islice(handed, p.byte() % 4))


def schedules(p: Program) -> None:
    """Schedules of any arguments at any count, and their plain form."""
    while not p.over:
        kind = getattr(gs.schedules, p.pick(gs.schedules.__all__))
        given = [p.number() if p.byte() < 128 else p.whole() for _ in range(p.byte() % 4)]
        schedule = attempt(kind, *given)
        if isinstance(schedule, gs.schedules.Schedule):
            attempt(schedule, p.whole())
            config = attempt(gs.schedules.to_config, schedule)
            require(config is REFUSED or gs.schedules.from_config(config) == schedule, "as saved")


def core(p: Program) -> None:
    """The functions of the core, which users never call."""
    while not p.over:
        action = p.byte() % 10
        if action == 0:
            arrays = [p.array() for _ in range(p.byte() % 3)]
            order = np.arange(p.byte() % 8, dtype=p.pick(["i8", "i8", "i4", "f8"])) - p.byte() % 2
            attempt(_core.gather, arrays, p.pick([order, order[::-1]]), p.whole(), p.whole())
        elif action == 1:
            array = p.array()
            attempt(_core.copy_in_rows, array)
            attempt(_core.bytes_in_one_piece, array)
        elif action == 2:
            attempt(_core.ewa_series, p.array(), p.array(), p.number(), True)
        elif action == 3:
            value = p.value()
            attempt(_core.as_array, value, "x")
            attempt(_core.is_number, value)
        elif action == 4:
            attempt(_core.one_minus_power, p.number(), p.whole())
        elif action == 5:
            attempt(_core.share_begin, p.whole(), p.whole(), p.whole())
        elif action == 6:
            attempt(_core.team_size, p.whole())
        elif action == 7:
            attempt(_core.state_names, p.value())
            attempt(_core.use_isa, p.pick(["baseline", *_core.isas(), p.value()]))
        elif action == 8:
            attempt(gs.set_num_threads, p.value())
            gs.set_num_threads(2)
        else:
            _core.set_work_per_thread(1, 1)


def stepper(p: Program) -> None:
    """The core's stepper, called in any order."""
    s = attempt(_core.new_stepper, p.whole())
    if s is REFUSED:
        s = _core.new_stepper()
    attempt(s.add_group, p.pick(RULES), {"lr": p.number(), **p.options()})
    params: list[Any] = []
    while not p.over:
        action, group = p.byte() % 10, p.byte() % 3 - 1
        if action == 0:
            attempt(s.add_group, p.pick(RULES), p.options(), p.value())
        elif action == 1:
            arrays = [p.array() if p.byte() < 240 else p.value() for _ in range(p.byte() % 3)]
            names = [str(i) for i in range(len(arrays) + p.byte() // 250)]
            if attempt(s.add_parameters, group, names, arrays) is not REFUSED:
                params += arrays
        elif action == 2:
            w = p.array()
            if attempt(s.add_parameter, group, "w", w, [p.like(w)] * (p.byte() % 4)) is not REFUSED:
                params.append(w)
        elif action == 3:
            attempt(s.check)
        elif action == 4:
            keys = [tuple("abc")[: p.byte() % 4]]
            attempt(s.expect, p.pick([list, p.value()]), keys, p.byte() % 2 == 0)
        elif action < 8:
            grads: Any = [p.like(w) for w in params] if p.byte() < 220 else p.tree(p.array)
            if p.byte() % 4 == 0 and type(grads) is list:
                grads = dict(zip("abcdef", grads, strict=False))
            t = s.t
            stepped = attempt(s.step, grads) is not REFUSED
            require(s.t == t + stepped, "t moves by one, or not at all")
        elif action == 8:
            change = (group, p.pick(RULES), p.options(), None, p.pick([None, 0, p.whole()]))
            states = p.pick([None, [[p.like(w)] * (p.byte() % 3) for w in params]])
            attempt(s.change, [change] * (p.byte() % 3), p.pick([None, p.whole()]), states)
        else:
            attempt(s.get, group, p.pick(NAMES))
            attempt(s.given, group)
            attempt(s.snapshot)


TARGETS = [optimize, optimize, stepper, stepper, core, functions, averages, batches, schedules]


def run(data: bytes) -> None:
    """Read one program and run it."""
    Count.programs += 1
    if Count.programs % 10_000 == 0:
        print(f"{Count.calls:,} calls in {Count.programs:,} programs", flush=True)
    program = Program(data)
    gs.set_num_threads(2)
    _core.set_work_per_thread(240_000, 24_000)
    program.pick(TARGETS)(program)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
