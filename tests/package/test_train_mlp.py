"""The training example: its gradients, its comparison, its command, and the files it reads.

The optimizers are judged elsewhere; here the example is, and that its verdict can be "no".
"""

from __future__ import annotations

import dataclasses
import gzip
import importlib
import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support.paths import EXAMPLES

MODULES = ("train_mlp", "idx")
SMALL = ["--epochs", "1", "--hidden", "8", "--batch-size", "128"]


@pytest.fixture
def import_example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def example(import_example: Callable[[str], ModuleType]) -> Any:
    return import_example("train_mlp")


@pytest.fixture
def idx(import_example: Callable[[str], ModuleType]) -> Any:
    return import_example("idx")


# -- Training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [[], [7], [6, 5]], ids=str)
def test_gradients_are_those_of_the_loss(example: Any, hidden: list[int]) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(9, 4)), rng.integers(0, 3, size=9)
    params = example.initialize([4, *hidden, 3], 0, "float64")
    for key in params:  # biases too: at zero an error in them could hide
        params[key] += 0.1 * rng.normal(size=params[key].shape)
    loss, grads = example.loss_and_gradients(params, x, y)
    assert loss == pytest.approx(example.loss(params, x, y), rel=1e-15)
    assert set(grads) == {"d" + key for key in params}
    h = 1e-6
    for key, w in params.items():
        measured = np.empty_like(w)
        for i in np.ndindex(w.shape):
            kept = w[i]
            w[i] = kept + h
            above = example.loss(params, x, y)
            w[i] = kept - h
            below = example.loss(params, x, y)
            w[i] = kept
            measured[i] = (above - below) / (2 * h)
        np.testing.assert_allclose(grads["d" + key], measured, rtol=1e-6, atol=1e-9)


def test_large_logits_do_not_overflow(example: Any) -> None:
    log_probabilities = example.log_softmax(np.array([[1e4, 0.0, -1e4]]))
    np.testing.assert_array_equal(log_probabilities, [[0.0, -1e4, -2e4]])


@pytest.mark.parametrize("name", ["gradient descent", "Momentum", "RMSprop", "Adam"])
def test_numpy_and_gradstep_learn_the_same(example: Any, name: str) -> None:
    (method,) = (method for method in example.METHODS if method.name == name)
    data = example.digits("float64")
    pair = example.train(method, data, hidden=[64], epochs=2, batch_size=16, seed=1)
    steps = 2 * -(-len(data.x) // 16)
    for run in pair:
        assert len(run.losses) == len(run.update_seconds) == len(run.step_seconds) == steps
        assert run.losses[-1] < run.losses[0]
        assert example.accuracy(run.params, data.x_test, data.y_test) > 0.5  # chance is 0.1
    np.testing.assert_allclose(pair[0].losses, pair[1].losses, rtol=1e-9)
    assert example.largest_difference(pair) <= 1e-9


def test_held_out_images_are_no_training_images(example: Any) -> None:
    data = example.digits("float32")
    assert data.x.dtype == data.x_test.dtype == np.float32
    assert (len(data.x), len(data.x_test), data.classes) == (1438, 359, 10)
    assert data.x.min() == 0
    assert data.x.max() == 1
    train, test = ({row.tobytes() for row in x} for x in (data.x, data.x_test))
    assert not train & test


# -- The verdict -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "difference", "digits"),
    [
        ([1.0, 0.0], [1.0, 0.0], 0.0, "all"),
        ([1.0, 2.0], [1.0, 2.0 + 2e-5], 1e-5, "5"),
        ([1.0, 1.0], [1.0, -1.0], 2.0, "none"),
        ([1.0, np.nan], [1.0, np.nan], np.nan, "none"),
    ],
)
def test_difference_of_two_curves(
    example: Any, a: list[float], b: list[float], difference: float, digits: str
) -> None:
    pair = [example.Run({}, None, None, losses) for losses in (a, b)]
    worst = example.largest_difference(pair)
    assert worst == pytest.approx(difference, rel=1e-4, nan_ok=True)
    assert example.same_digits(worst) == digits
    _, agree = example.agreement({"Adam": pair}, example.STANDARDS["float64"])
    assert agree is (difference == 0)


def test_float32_is_judged_by_its_first_steps(example: Any) -> None:
    a = [1.0] * 60
    for parts_at, verdict in [(49, False), (50, True)]:
        b = [*a[:parts_at], *[2.0] * (60 - parts_at)]
        pair = [example.Run({}, None, None, losses) for losses in (a, b)]
        report, agree = example.agreement({"Adam": pair}, example.STANDARDS["float32"])
        assert agree is verdict
        assert "over 50 steps (5.0e-01 over all 60)" in report


# -- The command -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_command(
    example: Any, dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "curves.png"
    assert example.main([*SMALL, "--dtype", dtype, "--seed", "5", "--out", str(picture)]) == 0
    out, err = capsys.readouterr()
    assert f"64-8-10, {dtype}" in out
    assert "1 epochs, batch size 128, seed 5" in out
    for name in ("gradient descent", "Momentum", "RMSprop", "Adam"):
        row = next(line for line in out.splitlines() if line.startswith(name))
        assert len(re.findall(r"\d+\.\d+%?", row)) == 10
    assert "NumPy and gradstep agree for every optimizer" in out
    assert "8/8" in err
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_command_on_idx_files(
    example: Any, idx: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path)
    out = tmp_path / "x.png"
    assert example.main([*SMALL, "--data", str(tmp_path), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"{tmp_path}: 30 to train on, 20 held out" in printed
    assert "6-8-3, float64" in printed
    data = example.mnist_like(tmp_path, "float32")
    assert data.x.dtype == np.float32
    np.testing.assert_array_equal(data.x, (idx.load(tmp_path)[0] / 255).astype(np.float32))


def test_command_says_no(
    example: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def epsilon_outside(params: Any, grads: Any, m: Any, v: Any, t: int, lr: float) -> None:
        for key in params:
            g = grads["d" + key]
            v[key] = example.BETA * v[key] + (1 - example.BETA) * g**2
            params[key] = params[key] - lr * g / (np.sqrt(v[key]) + example.EPSILON)

    wrong = [
        dataclasses.replace(
            method,
            numpy=epsilon_outside if method.name == "RMSprop" else method.numpy,
            options={key: 1e-2 if key == "eps_root" else o for key, o in method.options.items()},
        )
        for method in example.METHODS
    ]
    monkeypatch.setattr(example, "METHODS", wrong)
    monkeypatch.setattr(example, "EPSILON", 1e-2)
    assert example.main([*SMALL, "--out", str(tmp_path / "x.png")]) == 1
    assert "NumPy and gradstep DISAGREE for RMSprop: not 6" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "--epochs: 0 is not at least 1"),
        (["--hidden", "8", "-3"], "--hidden: -3 is not at least 1"),
        (["--batch-size", "few"], "--batch-size: invalid positive value: 'few'"),
        (["--seed", "-1"], "--seed: -1 is negative"),
        (["--dtype", "int8"], "--dtype: invalid choice"),
        (["--out", "curves.txt"], "--out curves.txt is not a .png file"),
        (["--out", "nowhere/x.png"], "--out nowhere/x.png is not a .png file in an existing"),
        (["--data", "nowhere"], "nowhere lacks train-images-idx3-ubyte, train-labels"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_refuses(
    example: Any, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        example.main(arguments)
    assert caught.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


# -- IDX files -------------------------------------------------------------------------------------


def encode(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_set(directory: Path, zipped: bool = False) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    shapes = [(30, 2, 3), (30,), (20, 2, 3), (20,)]
    arrays = [rng.integers(0, 3 if len(s) == 1 else 256, s, np.uint8) for s in shapes]
    stems = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
    for stem, array in zip(stems, arrays, strict=True):
        path = directory / f"{stem}-ubyte{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(encode(array)) if zipped else encode(array))
    return arrays


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_idx_set_round_trip(idx: Any, tmp_path: Path, zipped: bool) -> None:
    arrays = write_set(tmp_path, zipped)
    for written, loaded in zip(arrays, idx.load(tmp_path), strict=True):
        assert loaded.dtype == np.uint8
        np.testing.assert_array_equal(loaded, written.reshape(len(written), -1).squeeze())


@pytest.mark.parametrize("name", ["file", "file.gz"])
@pytest.mark.parametrize("shape", [(1,), (2, 3, 4), (1 << 20,), ((1 << 20) + 1,)], ids=str)
def test_idx_file_round_trip(idx: Any, tmp_path: Path, shape: tuple[int, ...], name: str) -> None:
    # The larger shapes end on and beyond the edge of the pieces that are read.
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    content = encode(array)
    (tmp_path / name).write_bytes(gzip.compress(content, 1) if name == "file.gz" else content)
    np.testing.assert_array_equal(idx.read(tmp_path / name, len(shape)), array)


GOOD = encode(np.arange(12, dtype=np.uint8))
ZIPPED = gzip.compress(GOOD)
DAMAGED_FILES = {
    "empty": ("x", b"", "not an IDX file, it begins with b''"),
    "cut in the magic": ("x", GOOD[:3], "not an IDX file"),
    "wrong magic": ("x", b"\x89PNG" + GOOD[4:], "not an IDX file, it begins with b'.x89PNG'"),
    "floats": ("x", b"\0\0\x0d\x01" + GOOD[4:], "element type 0x0d is not supported"),
    "images for labels": ("x", b"\0\0\x08\x03" + GOOD[4:], "dimensions is 3, expected 1"),
    "cut in the header": ("x", GOOD[:7], "truncated, the header"),
    "cut in the data": ("x", GOOD[:-1], "truncated, 11 of 12 bytes"),
    "no data": ("x", GOOD[:4] + bytes(4), r"holds no data, its sizes are \(0,\)"),
    "trailing byte": ("x", GOOD + b"\0", "trailing bytes after the 12 bytes"),
    "trailing byte, zipped": ("x.gz", gzip.compress(GOOD + b"\0"), "trailing bytes after the 12"),
    "cut in the data, zipped": ("x.gz", gzip.compress(GOOD[:-1]), "truncated, 11 of 12 bytes"),
    "not gzip": ("x.gz", GOOD, "damaged gzip file"),
    "gzip cut": ("x.gz", ZIPPED[:-9], "damaged gzip file"),
    "gzip checksum": ("x.gz", ZIPPED[:-8] + b"abcd" + ZIPPED[-4:], "damaged gzip file: CRC"),
    "gzip stream": ("x.gz", ZIPPED[:10] + b"\xff" * 9 + ZIPPED[19:], "damaged gzip file"),
}


@pytest.mark.parametrize(
    ("name", "content", "message"), DAMAGED_FILES.values(), ids=DAMAGED_FILES.keys()
)
def test_damaged_file(idx: Any, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        idx.read(tmp_path / name, 1)
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("name", ["x", "x.gz"])
def test_header_that_claims_too_much(idx: Any, tmp_path: Path, name: str) -> None:
    content = struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + b"few"
    (tmp_path / name).write_bytes(gzip.compress(content) if name == "x.gz" else content)
    with pytest.raises(ValueError, match=f"3 of {(2**32 - 1) ** 3} bytes"):
        idx.read(tmp_path / name, 3)


def test_missing_files(idx: Any, tmp_path: Path) -> None:
    write_set(tmp_path)
    for name in idx.NAMES[1], idx.NAMES[3]:
        (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        idx.load(tmp_path)
    message = str(caught.value)
    assert "lacks train-labels-idx1-ubyte, t10k-labels-idx1-ubyte (each plain or with" in message
    assert "dataset-fashion-mnist brings such files to /usr/share/datasets/" in message


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(29, np.uint8), "30 images, .* 29 labels"),
        ("t10k-images-idx3-ubyte", np.zeros((20, 3, 3), np.uint8), "have 6 pixels, .* images 9"),
    ],
)
def test_files_that_do_not_belong_together(
    idx: Any, tmp_path: Path, name: str, array: NDArray[np.uint8], message: str
) -> None:
    write_set(tmp_path)
    (tmp_path / name).write_bytes(encode(array))
    with pytest.raises(ValueError, match=message):
        idx.load(tmp_path)


def test_every_cut_of_a_file_is_noticed(idx: Any, tmp_path: Path) -> None:
    for name, whole in [("x", GOOD), ("x.gz", ZIPPED)]:
        for end in range(len(whole)):
            (tmp_path / name).write_bytes(whole[:end])
            with pytest.raises(ValueError, match=name):
                idx.read(tmp_path / name, 1)
