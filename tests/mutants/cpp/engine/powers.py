"""Ways to break cpp/engine/powers.hpp."""

from listing import ACCURACY, ANEW, BITS, NUMBERS, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/powers.hpp",
        f"{BITS}::test_bias_corrections_do_not_depend_on_the_steps_before {NUMBERS}",
        Mutant(
            "powers of the beta before",
            "if (beta != beta_) start(beta);",
            "if (beta_ < 0) start(beta);",
            "corrections of a beta that was changed",
            survives=ANEW,
        ),
        Mutant(
            "block border",
            "squared(small_[block], at_);",
            "squared(small_[block - 1], at_);",
            "corrections jump every sixteen steps",
        ),
        Mutant(
            "complements lose the low part",
            "add({1.0, 0.0}, {-x.high, -x.low})",
            "add({1.0, 0.0}, {-x.high, 0.0})",
            "corrections lose digits where beta is close to 1",
            ACCURACY,
        ),
        Mutant(
            "sums are rounded",
            "((a.high - (sum - of_b)) + (b.high - of_b)) + (a.low + b.low)",
            "a.low + b.low",
            "corrections lose digits where beta is close to 1",
            ACCURACY,
        ),
        Mutant(
            "quotients are rounded",
            "(((a.high - back.high) - back.low) + a.low) / b",
            "a.low / b",
            "factors of momentum lose digits",
            ACCURACY,
            survives="off by less than the rounding of the factor itself, which is all that is promised",
        ),
        Mutant(
            "the exponential series is short",
            "for (int n = 16; n > 0; --n)",
            "for (int n = 6; n > 0; --n)",
            "factors of momentum lose digits",
            ACCURACY,
        ),
    ),
]
