"""Ways to break cpp/engine/kernels.cpp."""

from listing import AVERAGING, BITS, FORMULAS, ONE_STEP, SPEED, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/kernels.cpp",
        f"{FORMULAS} {BITS}",
        Mutant(
            "the tail is lost",
            "for (int64_t i = 0; i < count; ++i) {\n      auto wi",
            "for (int64_t i = 0; i < count / 4 * 4; ++i) {\n      auto wi",
            "the last elements never learn",
        ),
        Mutant(
            "the entry skips an element",
            "begin < count; begin = end,",
            "begin < count; begin = end + 1,",
            "one element in thousands never learns",
            BITS,
        ),
        Mutant(
            "the entry takes an element twice",
            "begin < count; begin = end,",
            "begin < count; begin = end - (end < count),",
            "one element in thousands makes two steps",
            BITS,
        ),
        Mutant(
            "no entry",
            "long_run = 2048;",
            "long_run = int64_t(1) << 60;",
            "slower steps",
            survives=SPEED,
        ),
        Mutant(
            "decoupled decay without the rate",
            "1.0 - h.lr * h.weight_decay",
            "1.0 - h.weight_decay",
            "decay a thousand times too strong",
        ),
        Mutant(
            "decoupled decay comes last",
            "if constexpr (decay == decoupled_decay) wi *= decay_factor;\n"
            "      rule.update(wi, gi, state[i]...);",
            "rule.update(wi, gi, state[i]...);\n"
            "      if constexpr (decay == decoupled_decay) wi *= decay_factor;",
            "the change decays too",
        ),
        Mutant(
            "AdamW decays as Adam does",
            "GRADSTEP_KERNEL(R, T, decoupled_decay)}",
            "GRADSTEP_KERNEL(R, T, coupled_decay)}",
            "AdamW is Adam",
        ),
        Mutant(
            "coupled decay is scaled",
            "N::load(g[i]) * scale;\n"
            "      if constexpr (decay == coupled_decay) gi += decay_factor * wi;",
            "N::load(g[i]);\n"
            "      if constexpr (decay == coupled_decay) gi += decay_factor * wi;\n"
            "      gi *= scale;",
            "maximize=True makes weights grow",
        ),
        Mutant(
            "ewa_series: one value is not corrected",
            "average[i] = i < corrected ?",
            "average[i] = i + 1 < corrected ?",
            "one value of a curve is wrong",
            AVERAGING,
        ),
        Mutant(
            "ewa_series: columns are not corrected",
            "row[j] /= correction;",
            "row[j] *= T(1);",
            "curves begin at zero",
            AVERAGING,
        ),
        Mutant(
            "ewa_series: begins anew",
            "above = i > 0 ?",
            "above = i > 1 ?",
            "the first value is forgotten",
            AVERAGING,
        ),
        Mutant(
            "the norm without the last element",
            "for (int lane = 0; i < count; ++i, ++lane) {",
            "for (int lane = 0; i + 1 < count; ++i, ++lane) {",
            "a norm too small",
            ONE_STEP,
        ),
        Mutant(
            "squares in the element type",
            "double sums[lanes] = {};",
            "T sums[lanes] = {};",
            "the norm of float32 overflows",
            ONE_STEP,
        ),
        Mutant(
            "clip: one factor",
            "Numeric<T>::load(g[i]) * a * b;",
            "Numeric<T>::load(g[i]) * a;",
            "clipping does nothing",
            ONE_STEP,
        ),
        Mutant(
            "clip: no number becomes the bound",
            "x > most ? most : x < -most ? -most : x",
            "x <= most ? x < -most ? -most : x : most",
            "NaN passes for a gradient",
            ONE_STEP,
        ),
        Mutant(
            "clip: from above only",
            "x > most ? most : x < -most ? -most : x",
            "x > most ? most : x",
            "large negative gradients pass",
            ONE_STEP,
        ),
    ),
]
