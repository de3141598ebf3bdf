"""Ways to break cpp/engine/dispatch.cpp."""

from listing import PARALLEL, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/dispatch.cpp",
        PARALLEL,
        Mutant(
            "the lowest level is used",
            "available_isas().back()",
            "available_isas().front()",
            "slow",
        ),
    ),
]
