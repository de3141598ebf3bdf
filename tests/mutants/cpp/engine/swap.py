"""Ways to break cpp/engine/swap.cpp."""

from listing import AVERAGED, NUMBERS, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/swap.cpp",
        AVERAGED,
        Mutant(
            "codes of one bit",
            "*codes >> (2 * k) & 3U)",
            "*codes >> (2 * k) & 1U)",
            "averages come back changed in the last place",
        ),
        Mutant(
            "no number is an overflow",
            "if (average != average) return 0;",
            "",
            "a NaN cannot be averaged",
        ),
        Mutant(
            "an overflow of the first",
            "if (found) return static_cast<int>(&pair - pairs_.data());",
            "if (found) return 0;",
            "the error names another array",
        ),
        Mutant(
            "exchanged: gathered from the beginning",
            "pair.run.gather(a, begin, count, at[a] = buffers[a]);",
            "pair.run.gather(a, 0, count, at[a] = buffers[a]);",
            "a view's first elements everywhere",
        ),
        Mutant(
            "exchanged in the caller's mode",
            "  const DefaultFloatingPointMode mode;\n  alignas",
            "  alignas",
            "averages come back changed",
            NUMBERS,
        ),
    ),
]
