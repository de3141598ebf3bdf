"""The short examples: each learns, and does so by the steps that it says it takes.

Those that need a package of others run where that is installed; `nox -s parity` installs all.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstep as gs
from support.paths import EXAMPLES


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let examples import what they share, as Python lets scripts of one folder."""
    monkeypatch.syspath_prepend(EXAMPLES)


def example(name: str, *packages: str) -> dict[str, Any]:
    """Return what an example defines, where the packages it needs are installed."""
    for package in packages:
        pytest.importorskip(
            package, reason=f"needs {package}: pip install it, or run nox -s parity"
        )
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_a_model_of_pytorch_is_trained_in_its_own_memory() -> None:
    train = example("train_torch", "torch", "sklearn")["train"]
    # The model computes the losses, so they fall only where its own memory was stepped.
    losses = train(epochs=8)
    assert losses[0] > 1
    assert losses[-1] < 0.3


def test_a_tensor_lends_its_memory_by_dlpack() -> None:
    torch = pytest.importorskip("torch", reason="needs torch: run nox -s parity")
    tensor, gradient = torch.ones(3), torch.full((3,), 0.5)
    opt = gs.SGD({"w": tensor}, lr=1.0)
    opt.step({"w": gradient})
    assert tensor.tolist() == [0.5, 0.5, 0.5]
    assert opt.params["w"] is tensor


def test_a_model_of_autograd_with_nested_parameters_learns() -> None:
    train = example("train_autograd", "autograd", "sklearn")["train"]
    losses = train(epochs=8)
    assert losses[0] > 1
    assert losses[-1] < 0.3


def test_a_model_in_a_file_goes_on_where_it_was(tmp_path: Path) -> None:
    module = example("train_functional", "sklearn")
    train, mapped = module["train"], module["mapped"]
    losses = train(tmp_path / "state", epochs=2) + train(tmp_path / "state", epochs=2)
    views, count = mapped(tmp_path / "state")
    steps = 4 * -(-1797 // 64)
    assert count == steps
    # The same steps by an optimizer that keeps its state itself, and is stopped nowhere.
    fresh, _ = mapped(tmp_path / "fresh")
    params = [np.array(w) for w in fresh["parameter"]]
    opt = gs.Adam(params, lr=3e-3)
    x, y = module["load_digits"](return_X_y=True)
    for _ in range(2):
        batches = gs.MiniBatches(x / 16, y, batch_size=64, seed=0)
        for _ in range(2):
            for xb, yb in batches:
                opt.step(module["loss_and_gradients"](params, xb, yb)[1])
    for kept, w, state in zip(views["parameter"], params, opt.state.values(), strict=True):
        np.testing.assert_allclose(kept, w, rtol=1e-9, atol=1e-12)
        assert np.any(state["m"])
    assert losses == sorted(losses, reverse=True)


def test_the_picture_of_conventions(tmp_path: Path) -> None:
    module = example("conventions", "matplotlib")
    assert module["draw"](tmp_path).stat().st_size > 10_000
    for panel in module["PANELS"]:
        ends = [module["path"](make, panel.steps) for make in panel.lines.values()]
        for i, end in enumerate(ends):
            assert np.all(np.isfinite(end)), panel.title
            for other in ends[:i]:  # what is drawn as a difference is one
                assert np.max(np.abs(end - other)) > 0.05, panel.title


def test_scikit_learn_takes_the_same_way_within() -> None:
    sklearn = pytest.importorskip("sklearn", reason="needs scikit-learn: run nox -s parity")
    if not gs.compat.sklearn.is_tested(sklearn.__version__):
        pytest.skip(f"not tested with scikit-learn {sklearn.__version__}: run nox -s scikit_learn")
    row = example("accelerate_sklearn")["compared"]("float64", epochs=2, rounds=1)
    assert row.difference < 1e-9


HERE = '".[examples]"'
NEEDED = [  # example, a package that it needs, and what is to be installed
    ("accelerate_sklearn", "sklearn", HERE),
    ("accelerate_sklearn", "threadpoolctl", HERE),
    ("conventions", "matplotlib", HERE),
    ("landscapes", "matplotlib", HERE),
    ("train_autograd", "autograd", f"autograd {HERE}"),
    ("train_functional", "sklearn", HERE),
    ("train_functional", "gradstep", HERE),
    ("train_mlp", "matplotlib", HERE),
    ("train_mlp", "sklearn", HERE),
    ("train_mlp", "tqdm", HERE),
    ("train_mlp", "numpy", HERE),
    ("train_mpi", "mpi4py", '".[examples,mpi]"'),
    ("train_torch", "torch", f"torch {HERE}"),
]


@pytest.mark.parametrize(("name", "package", "packages"), NEEDED)
def test_an_example_without_a_package_says_in_one_line_what_to_install(
    name: str,
    package: str,
    packages: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for loaded in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    line = ended.value.code  # which Python prints as the process ends
    assert isinstance(line, str)
    assert "\n" not in line
    assert package in line
    assert line.endswith(f"needs, from the checkout: pip install {packages}")
    assert capsys.readouterr() == ("", "")


def test_every_example_is_in_the_table_of_packages() -> None:
    files = {path.stem for path in EXAMPLES.glob("*.py")} - {"idx", "needs"}
    assert {name for name, _, _ in NEEDED} == files
