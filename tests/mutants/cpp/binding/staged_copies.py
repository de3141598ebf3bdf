"""Ways to break cpp/binding/staged_copies.cpp."""

from listing import AVERAGED, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/staged_copies.cpp",
        AVERAGED,
        Mutant(
            "only the first tile is filled",
            "begin < copy.count; begin += tile",
            "begin < tile; begin += tile",
            "a resumed run differs",
        ),
    ),
]
