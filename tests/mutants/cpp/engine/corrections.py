"""Ways to break cpp/engine/corrections.hpp."""

from listing import ACCURACY, FORMULAS, GROUPS, Mutant, in_file

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
            "steps are counted from 0",
            "h.t = static_cast<double>(t);",
            "h.t = static_cast<double>(t - 1);",
            "Adagrad's rates and PyTorch's first step come late",
        ),
        Mutant(
            "NAdam: this step's factor is the next one's",
            "power_of_0_96(h.momentum_decay * static_cast<double>(t)));",
            "power_of_0_96(h.momentum_decay * static_cast<double>(t + 1)));",
            "factors of momentum come early",
        ),
        Mutant(
            "NAdam: the product is not rounded",
            "product = {multiply(products[of_mu].value, {h.mu, 0.0}).high, 0.0};",
            "product = multiply(products[of_mu].value, {h.mu, 0.0});",
            "the class and its function go apart",
            GROUPS,
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
