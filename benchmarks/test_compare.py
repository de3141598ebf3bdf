"""The command itself: what it prints and writes, for the smallest of everything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import compare
import packages

SECTIONS = ("steps", "averages", "overhead")


def test_everything_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, image = tmp_path / "figures.json", tmp_path / "image.png"
    compare.main(
        [
            *("--rounds", "1", "--max-elements", "1000", "--only", ",".join(SECTIONS)),
            *("--json", str(figures), "--picture", str(image)),
        ]
    )
    output = capsys.readouterr().out
    for section in SECTIONS:
        assert compare.SECTIONS[section].title in output
    for name, command in packages.PACKAGES.items():
        version = packages.version(name)
        assert f"{name}: {version}" in output if version else command in output
    written = json.loads(figures.read_text(encoding="utf-8"))
    assert [result["case"] for result in written["steps"]] == [
        "one array of 1e1",
        "one array of 1e2",
        "one array of 1e3",
        "6 arrays of 10",
    ]
    for result in written["steps"]:
        assert {"naive", "tuned", "blocked", "gradstep"} <= result["seconds"].keys()
        assert all(times["q1"] <= times["median"] for times in result["seconds"].values())
    assert {"cpu", "level", "threads", "rounds", "python", "numpy", "gradstep"} <= (
        written["machine"].keys()
    )
    assert image.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--only", "steps,lop"],
            "'lop' is not one of steps, around, loop, batches, averages, overhead",
        ),
        (["--only", "loop", "--picture", "x.png"], "add it to --only"),
    ],
)
def test_bad_arguments_are_told(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        compare.parse(arguments)
    assert message in capsys.readouterr().err
