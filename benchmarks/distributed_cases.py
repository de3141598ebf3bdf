"""The models that distributed.py and its ranks step, by name."""

from __future__ import annotations

from cases import Case, dense, transformer

CASES = {
    case.name: case
    for case in (
        Case("3e4", dense(784, 38, 20, 10)),
        Case("1e6", dense(784, 848, 384, 10)),
        Case("3e7", transformer(3200, 512, 9)),
    )
}
