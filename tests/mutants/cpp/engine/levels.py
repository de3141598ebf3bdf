"""Ways to break cpp/engine/levels.cpp, cpp/engine/levels.hpp."""

from listing import Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/levels.hpp",
        "tests/core/test_native.py::test_a_level_needs_every_feature_and_register",
        Mutant(
            "AVX2 is all of v3",
            "bit(3) | bit(5) | bit(8)",
            "bit(5)",
            "a crash on some processors",
        ),
        Mutant(
            "wide registers that nobody saves",
            "all_bits(p.saved, bit(1) | bit(2));",
            "true;",
            "numbers change when the system switches tasks",
        ),
        Mutant(
            "XCR0 is always read",
            "if (all_bits(words.leaf1_ecx, osxsave)) words.saved",
            "words.saved",
            "a crash at import on old processors",
        ),
    ),
]
