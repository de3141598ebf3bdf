"""Every Python snippet of README and docs runs, and does what its page says of it.

The names that a page leaves to its reader (`X`, `params`, `gradients`, ...) are declared in `given`,
which every snippet starts from. A fence of `text` right after a snippet is what it prints. Snippets of
C++ and of the shell are not run here; CI runs the commands of the README's quick start.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib.util
import io
import itertools
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from support import jobs
from support.paths import ROOT

Array = NDArray[np.float64]
Arrays = dict[str, Array]

PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
]
FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```\n(\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


class Snippet(NamedTuple):
    """What stands between two fences of a page, and what the page says that it prints."""

    page: str
    line: int
    language: str
    code: str
    printed: str | None

    def run(self, names: dict[str, Any]) -> str:
        """Run it over these names, and return what it printed."""
        # Empty lines in front, so that an error names the line of the page.
        code = compile("\n" * (self.line - 1) + self.code, self.page, "exec", dont_inherit=True)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, names)  # noqa: S102
        return out.getvalue()


def fences(page: str) -> Iterator[Snippet]:
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start(3)) + 1
        yield Snippet(page, line, match[2], textwrap.dedent(match[3]), match[5])


FENCES = [fence for page in PAGES for fence in fences(page)]
SNIPPETS = [fence for fence in FENCES if fence.language == "python"]


def found(page: str, *texts: str) -> Snippet:
    """Return the one snippet of a page that has these texts in it."""
    (snippet,) = (s for s in SNIPPETS if s.page == page and all(text in s.code for text in texts))
    return snippet


# --- The names that a page leaves to its reader ------------------------------------------------

EPOCHS, STEPS = 3, 7  # of `batches`: epochs, and steps in each
LEARNING_RATE, BETA, BETA1, BETA2, EPSILON = 0.02, 0.8, 0.7, 0.95, 1e-8
DECAY_RATE, TIME_INTERVAL = 0.5, 3


def gradients(params: Arrays, x: Array, y: Array) -> Arrays:
    """Of the mean square error of a network with one hidden layer."""
    hidden = np.tanh(x @ params["W1"] + params["b1"])
    error = (hidden @ params["W2"] + params["b2"] - y[:, None]) / len(y)
    back = error @ params["W2"].T * (1 - hidden**2)
    return {"dW1": x.T @ back, "db1": back.sum(0), "dW2": hidden.T @ error, "db2": error.sum(0)}


def backward_propagation(x: Array, y: Array, params: Arrays) -> Arrays:
    """Return the same in the course's layout: in columns, with a gradient of no parameter."""
    grads = gradients({name: array.T for name, array in params.items()}, x.T, y[0])
    return {"dz2": y, **{name: np.atleast_2d(grad).T for name, grad in grads.items()}}


def classifier(**options: Any) -> Any:
    """Return scikit-learn's, which an epoch without such a gain ends."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(tol=1e9, n_iter_no_change=1, **options)


def parameters() -> Arrays:
    rng = np.random.default_rng(1)
    shapes = {"W1": (3, 4), "b1": (4,), "W2": (4, 1), "b2": (1,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def given() -> dict[str, Any]:
    """Return what the snippets start from, all of it made anew."""
    X = np.random.default_rng(0).normal(size=(100, 3))
    y = (X[:, 0] > X[:, 1] * X[:, 2]).astype(float)
    params = parameters()
    columns = {name: np.atleast_2d(array).T for name, array in params.items()}
    return {
        "np": np,
        "gs": gs,
        "losses": [0.5, 0.25],
        "X": X,
        "y": y,
        **params,
        "params": params,
        "gradients": gradients,
        "grads": gradients(params, X, y),
        "opt": gs.Adam(params, lr=gs.schedules.Cosine(0.1, steps=30)),
        "batches": gs.MiniBatches(X, y, batch_size=16, seed=0),
        "epochs": EPOCHS,
        "k": 4,
        "validate": len,
        "MLPClassifier": classifier,
        # Of docs/distributed.md.
        "new_parameters": parameters,
        "validated": len,
        # Of the course's notebooks.
        "parameters": columns,
        "train_X": X.T,
        "train_Y": y[None],
        "forward_propagation": lambda x, parameters: (None, parameters),
        "backward_propagation": backward_propagation,
        "num_epochs": 2,
        "learning_rate": LEARNING_RATE,
        "learning_rate0": LEARNING_RATE,
        "beta": BETA,
        "beta1": BETA1,
        "beta2": BETA2,
        "epsilon": EPSILON,
        "decay_rate": DECAY_RATE,
        "time_interval": TIME_INTERVAL,
    }


# --- All of them -------------------------------------------------------------------------------


def test_no_snippet_is_overlooked() -> None:
    for fence in FENCES:
        # "py" is Python that cannot run where it stands: a rule that the core does not have.
        assert fence.language in {"python", "py", "cpp", "json", "sh", "text", ""}, fence
        assert fence.language or "gs." not in fence.code, fence
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        # One that is the output of another is found with that one.
        closed = sum(fence.page == page for fence in FENCES)
        printed = sum(fence.page == page and fence.printed is not None for fence in FENCES)
        assert text.count("```") == 2 * (closed + printed), page


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[f"{s.page}:{s.line}" for s in SNIPPETS])
def test_a_snippet_runs(snippet: Snippet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "gs.distributed" in snippet.code:
        if jobs.needs_mpi.args[0]:
            pytest.skip(jobs.needs_mpi.kwargs["reason"])
        number = str(SNIPPETS.index(snippet))
        job = jobs.run(1, "package/test_snippets.py", number, str(tmp_path), timeout=120)
        assert job.returncode == 0, job.stderr
        return
    if "gs.compat.sklearn" in snippet.code:
        sklearn = pytest.importorskip("sklearn", reason='needs scikit-learn: pip install ".[test]"')
        if not gs.compat.sklearn.is_tested(sklearn.__version__):
            pytest.skip(f"not tested with scikit-learn {sklearn.__version__}: nox -s scikit_learn")
    monkeypatch.chdir(tmp_path)
    printed = snippet.run(given())
    if snippet.printed is not None:
        assert printed == snippet.printed


@pytest.mark.parametrize("page", PAGES)
def test_a_name_that_a_page_mentions_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for dotted in sorted(set(re.findall(r"\bgs((?:\.\w+)+)", text))):
        if dotted.startswith(".compat.sklearn") and not importlib.util.find_spec("sklearn"):
            continue
        reduce(getattr, dotted[1:].split("."), gs)


# --- The loop that resumes ---------------------------------------------------------------------


class Stopped(Exception):
    """What ends a run of a snippet in its midst, as a kill does."""


@pytest.mark.parametrize(("page", "every"), [("README.md", 0), ("docs/checkpoints.md", 4)])
def test_a_run_that_is_stopped_ends_as_one_that_is_not(
    page: str, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in any step of it, and started again in fresh objects as its page shows."""
    loop = found(page, "gs.load(", "opt.step(")

    def trained(folder: Path, *stops: int) -> tuple[Any, int]:
        """Run the loop, again after each stop; return its end, and the steps of the last run."""
        folder.mkdir()
        monkeypatch.chdir(folder)
        steps = 0
        for stop in (*stops, None):
            names = given()
            taken = itertools.count()

            def counted(*args: Any, stop: Any = stop, taken: Any = taken) -> Arrays:
                if next(taken) == stop:
                    raise Stopped
                return gradients(*args)

            names["gradients"] = counted
            with contextlib.suppress(Stopped):
                loop.run(names)
            steps = next(taken)
        opt = names["opt"]
        arrays = [names["params"], *opt.state.values()]
        bits = [array.tobytes() for each in arrays for array in each.values()]
        return (bits, opt.t, names["batches"].epoch), steps

    whole, steps = trained(tmp_path / "whole")
    assert steps == whole[1] == EPOCHS * STEPS
    assert whole[2] == EPOCHS
    for stop in range(steps + 1):
        end, last = trained(tmp_path / str(stop), stop)
        assert end == whole, f"stopped after {stop} steps"
        saved = max(t for t in range(stop + 1) if t % STEPS == 0 or (every and t % every == 0))
        assert last == steps - saved, f"stopped after {stop} steps"
    assert trained(tmp_path / "often", 9, 9, 0, 5)[0] == whole


# --- The course's notebooks --------------------------------------------------------------------


def update_parameters_with_gd(
    parameters: Arrays, grads: Arrays, v: Arrays, s: Arrays, t: int
) -> None:
    for name in parameters:
        parameters[name] = parameters[name] - LEARNING_RATE * grads["d" + name]


def update_parameters_with_momentum(
    parameters: Arrays, grads: Arrays, v: Arrays, s: Arrays, t: int
) -> None:
    for name in parameters:
        d = "d" + name
        v[d] = BETA * v[d] + (1 - BETA) * grads[d]
        parameters[name] = parameters[name] - LEARNING_RATE * v[d]


def update_parameters_with_adam(
    parameters: Arrays, grads: Arrays, v: Arrays, s: Arrays, t: int
) -> None:
    for name in parameters:
        d = "d" + name
        v[d] = BETA1 * v[d] + (1 - BETA1) * grads[d]
        s[d] = BETA2 * s[d] + (1 - BETA2) * grads[d] ** 2
        v_corrected, s_corrected = v[d] / (1 - BETA1**t), s[d] / (1 - BETA2**t)
        step = LEARNING_RATE * v_corrected / (np.sqrt(s_corrected) + EPSILON)
        parameters[name] = parameters[name] - step


def update_lr(epoch_num: int) -> float:
    return 1 / (1 + DECAY_RATE * epoch_num) * LEARNING_RATE


def schedule_lr_decay(epoch_num: int) -> float:
    return 1 / (1 + DECAY_RATE * float(np.floor(epoch_num / TIME_INTERVAL))) * LEARNING_RATE


def in_its_place(function: Callable[..., Any], names: dict[str, Any]) -> Any:
    """Evaluate what docs/conventions.md assigns beside a comment with this function's name."""
    code = found("docs/conventions.md", f"# {function.__name__}\n").code
    functions = re.findall(r"# (\w+)", code)
    (line,) = (
        line
        for name, line in zip(functions, ast.parse(code).body, strict=True)
        if name == function.__name__
    )
    assert isinstance(line, ast.Assign)
    return eval(ast.unparse(line.value), names)


@pytest.mark.parametrize(
    "function",
    [update_parameters_with_gd, update_parameters_with_momentum, update_parameters_with_adam],
)
def test_an_optimizer_in_place_of_a_notebooks_function(function: Callable[..., None]) -> None:
    names = given()
    ours: Arrays = names["parameters"]
    theirs = {name: array.copy() for name, array in ours.items()}
    opt = in_its_place(function, names)
    v, s = ({"d" + name: np.zeros_like(w) for name, w in theirs.items()} for _ in range(2))
    rng = np.random.default_rng(0)
    for t in range(1, 41):
        # Small ones: there it shows where ε stands.
        grads = {"d" + name: rng.normal(size=w.shape, scale=1e-5) for name, w in theirs.items()}
        opt.step(grads)
        function(theirs, grads, v, s, t)
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, rtol=1e-13, atol=1e-15)


def test_the_body_of_a_notebooks_function() -> None:
    names = given()
    ours: Arrays = names["parameters"]
    theirs = {name: array.copy() for name, array in ours.items()}
    found("docs/conventions.md", "def update_parameters_with_adam").run(names)
    v, s = ({"d" + name: np.zeros_like(w) for name, w in theirs.items()} for _ in range(2))
    their_v, their_s = copy.deepcopy((v, s))
    rng = np.random.default_rng(0)
    for t in range(1, 41):
        grads = {"d" + name: rng.normal(size=w.shape, scale=1e-5) for name, w in theirs.items()}
        result = names["update_parameters_with_adam"](
            ours, {"dz2": s, **grads}, v, s, t, LEARNING_RATE, BETA1, BETA2, EPSILON
        )
        update_parameters_with_adam(theirs, grads, their_v, their_s, t)
    assert all(a is b for a, b in zip(result, (ours, v, s), strict=True))
    for mine, other in ((ours, theirs), (v, their_v), (s, their_s)):
        for name, array in other.items():
            np.testing.assert_allclose(mine[name], array, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("function", [update_lr, schedule_lr_decay])
def test_a_schedule_in_place_of_a_notebooks_function(function: Callable[[int], float]) -> None:
    lr = in_its_place(function, given())
    for step in range(10 * STEPS):
        assert lr(step) == pytest.approx(function(step // STEPS), rel=1e-15)


if __name__ == "__main__":  # one snippet, in a rank of a job
    os.chdir(sys.argv[2])
    print(SNIPPETS[int(sys.argv[1])].run(given()), end="")
