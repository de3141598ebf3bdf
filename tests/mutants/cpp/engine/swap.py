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
            "codes of the neighbour",
            "codes += begin / 4;",
            "codes += 0;",
            "averages come back changed in the last place",
        ),
        Mutant(
            "codes are not used",
            "number_of<T>(bits_of(product) + units)",
            "number_of<T>(bits_of(product))",
            "averages come back changed in the last place",
        ),
        Mutant(
            "codes upwards only",
            "code == 3U ? static_cast<Unsigned>(-1) : code",
            "code",
            "averages come back far away",
        ),
        Mutant(
            "no number is an overflow",
            "if (average != average) return 0;",
            "",
            "a NaN cannot be averaged",
        ),
        Mutant(
            "an overflow is put in",
            "if (found) return static_cast<int>(&pair - pairs_.data());",
            "",
            "an average that is lost",
        ),
        Mutant(
            "an overflow of the first",
            "if (found) return static_cast<int>(&pair - pairs_.data());",
            "if (found) return 0;",
            "the error names another array",
        ),
        Mutant(
            "exchanged: tiles from the beginning",
            "at[a] += begin * itemsize_of[pair.dtype];",
            "",
            "only the first elements are exchanged",
        ),
        Mutant(
            "exchanged: nothing is written",
            "if (writes && at[a] == buffers[a])",
            "if (false)",
            "views keep their parameters",
        ),
        Mutant(
            "exchanged: gathered from the beginning",
            "pair.run.gather(a, begin, count, at[a] = buffers[a]);",
            "pair.run.gather(a, 0, count, at[a] = buffers[a]);",
            "a view's first elements everywhere",
        ),
        Mutant(
            "uncorrected averages are put in",
            "w[i] = average[i] / correction;",
            "w[i] = average[i];",
            "averages too low at first",
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
