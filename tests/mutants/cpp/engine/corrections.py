"""Ways to break cpp/engine/corrections.hpp."""

from listing import ACCURACY, COMPAT, FORMULAS, GROUPS, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/corrections.hpp",
        f"{FORMULAS} {GROUPS}",
        Mutant(
            "both corrections by beta2",
            "power1 = power(of_beta1, h.beta1, t)",
            "power1 = power(of_beta1, h.beta2, t)",
            "first steps are too long",
        ),
        Mutant(
            "corrections where none are wanted",
            "if (!h.bias_correction) return;",
            "",
            "bias_correction=False changes nothing",
            GROUPS,
        ),
        Mutant(
            "steps are counted from 0",
            "h.t = static_cast<double>(t);",
            "h.t = static_cast<double>(t - 1);",
            "Adagrad's rates and PyTorch's first step come late",
        ),
        Mutant(
            "m is always corrected",
            "if (!h.uncorrected_m) h.correction1",
            "h.correction1",
            "optax's bias_correction_mu changes nothing",
            COMPAT,
        ),
        Mutant(
            "v is always corrected",
            "if (!h.uncorrected_v) h.correction2",
            "h.correction2",
            "optax's bias_correction_nu changes nothing",
            COMPAT,
        ),
        Mutant(
            "products stay 1",
            "products[kind].value = next_[kind];",
            "static_cast<void>(kind);",
            "corrections of the first step for ever",
        ),
        Mutant(
            "a scheduled beta counts as constant",
            "if (!products[kind].stored) return",
            "if (kind != of_mu) return",
            "corrections of a beta that never was",
            GROUPS,
        ),
        Mutant(
            "NAdam: this step's factor is the next one's",
            "power_of_0_96(h.momentum_decay * static_cast<double>(t)));",
            "power_of_0_96(h.momentum_decay * static_cast<double>(t + 1)));",
            "factors of momentum come early",
        ),
        Mutant(
            "NAdam: the next factor is this step's",
            "static_cast<double>(t + 1)));",
            "static_cast<double>(t)));",
            "no look ahead",
        ),
        Mutant(
            "NAdam: the product is not rounded",
            "product = {multiply(products[of_mu].value, {h.mu, 0.0}).high, 0.0};",
            "product = multiply(products[of_mu].value, {h.mu, 0.0});",
            "the class and its function go apart",
            GROUPS,
        ),
        Mutant(
            "NAdam: the product stays 1",
            "      next_[of_mu] = product;\n",
            "      next_[of_mu] = {1.0, 0.0};\n",
            "corrections of the first step for ever",
        ),
        Mutant(
            "NAdam: the next step's correction is this one's",
            "complement(multiply(product, {h.mu_next, 0.0})).high",
            "complement(product).high",
            "first steps are too long",
        ),
        Mutant(
            "RAdam: no threshold",
            "!(length > h.threshold) || ",
            "",
            "threshold changes nothing",
        ),
        Mutant(
            "RAdam: at the threshold",
            "length > h.threshold",
            "length >= h.threshold",
            "rectified where it is documented not to be",
            STEPS + "::test_radam_is_momentum_up_to_its_threshold",
        ),
        Mutant(
            "RAdam: any threshold",
            " || !(length > 4)) return",
            ") return",
            "steps of another length where there is no variance",
            STEPS + "::test_radam_is_momentum_up_to_its_threshold",
        ),
        Mutant(
            "RAdam: a quotient upside down",
            "(longest / length)",
            "(length / longest)",
            "first steps are too short",
        ),
        Mutant(
            "RAdam: large numbers cancel",
            "if (power2.high > 0.5) {",
            "if (false) {",
            "steps lose digits where beta2 is close to 1",
            ACCURACY,
        ),
        Mutant(
            "RAdam: the weight is rounded",
            "{-weight.high, -weight.low}",
            "{-weight.high, 0.0}",
            "steps lose digits where beta2 is close to 1",
            ACCURACY,
            survives="where beta2 to the power of t is above 1/2, the product of t and 1 - beta2 is exact",
        ),
    ),
]
