"""The measurement: who is timed how often, and what is made of it. No timing is asserted."""

from __future__ import annotations

import pytest

import timing


def test_samples_take_turns_and_are_reported_by_their_quartiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "PAUSE", 0.0)
    calls: list[tuple[str, int]] = []

    def sampler(name: str, seconds: float) -> timing.Sampler:
        def sample(count: int) -> float:
            calls.append((name, count))
            return count * seconds

        return sample

    short, long = 0.9 * timing.SAMPLE / 8, 2 * timing.LONG
    times = timing.measure({"short": sampler("short", short), "long": sampler("long", long)}, 3)
    assert times["short"] == pytest.approx({"q1": short, "median": short, "q3": short})
    assert times["long"]["median"] == pytest.approx(long)
    samples, warm = ("short", 16), ("short", 4)
    first, second = [warm, samples], [("long", 1)]
    assert calls[-9:] == first + second + second + first + first + second


def test_a_call_is_repeated() -> None:
    calls: list[tuple[object, ...]] = []
    assert timing.looped(lambda *given: calls.append(given), 1, "two")(3) > 0
    assert calls == [(1, "two")] * 3


def test_quartiles() -> None:
    assert timing.quartiles([4.0, 0.0, 1.0, 3.0, 2.0]) == {"q1": 1.0, "median": 2.0, "q3": 3.0}
