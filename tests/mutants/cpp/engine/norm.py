"""Ways to break cpp/engine/norm.hpp."""

from listing import ONE_STEP, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/norm.hpp",
        ONE_STEP,
        Mutant(
            "large numbers in the plain unit",
            "if (sum >= least && sum <= most) return",
            "if (sum >= least) return",
            "the norm of large gradients is infinite",
        ),
        Mutant(
            "small numbers in the plain unit",
            "if (sum >= least && sum <= most) return",
            "if (sum <= most) return",
            "the norm of small gradients is zero",
        ),
        Mutant(
            "the units exchanged",
            "sum < least ? small : large",
            "sum < least ? large : small",
            "the norm of large gradients is infinite",
        ),
        Mutant(
            "another unit for large numbers",
            "unit == large ? 0x1p-600",
            "unit == large ? 0x1p-500",
            "a wrong norm of large gradients",
        ),
        Mutant(
            "plain numbers behind large ones",
            "std::sqrt(sums[Squares::large] + down(sums[Squares::plain]))",
            "std::sqrt(sums[Squares::large])",
            "a norm too small",
        ),
        Mutant(
            "small numbers behind plain ones",
            "std::sqrt(sums[Squares::plain] + down(sums[Squares::small]))",
            "std::sqrt(sums[Squares::plain])",
            "a norm too small",
        ),
        Mutant(
            "one unit down is half of it",
            "return sum * 0x1p-600 * 0x1p-600;",
            "return sum * 0x1p-600;",
            "a norm too large",
        ),
        Mutant(
            "a norm that is not a number",
            "sums[Squares::large] > 0 || !std::isfinite(sums[Squares::large])",
            "sums[Squares::large] > 0",
            "NaN passes for a norm of what is left",
        ),
        Mutant(
            "an infinite norm clips",
            "std::isfinite(norm) && norm > max_norm",
            "norm > max_norm",
            "one infinity makes every parameter NaN or stay",
        ),
        Mutant(
            "short gradients are lengthened",
            "std::isfinite(norm) && norm > max_norm ? max_norm",
            "std::isfinite(norm) ? max_norm",
            "every step is as long as the bound",
        ),
        Mutant(
            "the factor upside down",
            "? max_norm / norm : 1.0",
            "? norm / max_norm : 1.0",
            "long gradients get longer",
        ),
        Mutant(
            "infinity is finite",
            "return std::isfinite(sum);",
            "return sum == sum;",
            "steps of infinite gradients are taken",
        ),
    ),
]
