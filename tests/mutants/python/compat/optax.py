"""Ways to break python/gradstep/compat/optax.py."""

from listing import COMPAT, FORMULAS, STEPS, Mutant, in_file

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
            "optax: RMSprop's rate outside",
            "rate_in_buffer=True",
            "rate_in_buffer=False",
            "schedules act on old gradients too",
        ),
        Mutant(
            "optax: switches of the corrections swapped",
            '"bias_correction_mu": _unless("uncorrected_m"),\n            "bias_correction_nu": _unless("uncorrected_v")',
            '"bias_correction_mu": _unless("uncorrected_v"),\n            "bias_correction_nu": _unless("uncorrected_m")',
            "the other moment is corrected",
        ),
        Mutant(
            "optax: switches of the corrections turned",
            "(core, name, not checks.flag(name, values[name]))",
            "(core, name, checks.flag(name, values[name]))",
            "no correction by default",
        ),
        Mutant(
            "optax: RAdam does not look ahead",
            "looks_ahead=True,\n        rectified=True",
            "looks_ahead=False,\n        rectified=True",
            "nesterov=True takes no momentum",
        ),
        Mutant(
            "optax: a mask for nothing",
            '{"weight_decay": 0.0})',
            "{})",
            "masked parameters decay",
        ),
        Mutant(
            "optax: masks are not called",
            "mask(params) if callable(mask) else mask",
            "mask",
            "a function as mask is refused",
        ),
        Mutant(
            "optax: sgd has always momentum",
            'if values["momentum"] is None:\n        return "sgd"',
            'if False:\n        return "sgd"',
            "momentum=None asks for state",
        ),
        Mutant(
            "optax: another decay of Lion",
            "weight_decay: Rate = 1e-3,",
            "weight_decay: Rate = 1e-4,",
            "not optax's default",
        ),
        Mutant(
            "optax: another start of Adagrad",
            "initial_accumulator_value: float = 0.1,",
            "initial_accumulator_value: float = 0.0,",
            "not optax's default",
        ),
        Mutant(
            "optax: any accumulator_dtype",
            "_require_own_dtype(accumulator_dtype=accumulator_dtype)\n",
            "pass\n",
            "accumulator_dtype is ignored",
        ),
    ),
    *in_file(
        "python/gradstep/compat/optax.py",
        f"{FORMULAS} {STEPS}",
        Mutant(
            "RAdam: another threshold",
            "threshold: Rate = 5.0,",
            "threshold: Rate = 4.0,",
            "v counts a step too early",
        ),
    ),
]
