"""Ways to break python/gradstep/compat/optax.py."""

from listing import COMPAT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/compat/optax.py",
        COMPAT,
        Mutant(
            "optax: eps_in_sqrt turned",
            '"eps_root" if inside else "eps"',
            '"eps" if inside else "eps_root"',
            "eps means something else",
        ),
        Mutant(
            "optax: switches of the corrections swapped",
            '"bias_correction_mu": _unless("uncorrected_m"),\n            "bias_correction_nu": _unless("uncorrected_v")',
            '"bias_correction_mu": _unless("uncorrected_v"),\n            "bias_correction_nu": _unless("uncorrected_m")',
            "the other moment is corrected",
        ),
        Mutant(
            "optax: a mask for nothing",
            '{"weight_decay": 0.0})',
            "{})",
            "masked parameters decay",
        ),
    ),
]
