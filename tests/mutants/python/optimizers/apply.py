"""Ways to break python/gradstep/optimizers/apply.py."""

from listing import ERRORS, GROUPS, ONE_STEP, OPTIMIZER, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/apply.py",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "a function's scheduled beta",
            'if corrected and name.startswith(("beta", "dampening")) and callable(value):',
            "if False:",
            "corrected as if the beta of this step had been that of all",
            GROUPS,
        ),
        Mutant(
            "lr_decay needs no t",
            'for name in ("bias_correction", "lr_decay"):',
            'for name in ("bias_correction",):',
            "a rate that never falls",
        ),
        Mutant(
            "functions begin at their step",
            "rule, core_args, None, 0, mu_product)",
            "rule, core_args, None, None, mu_product)",
            "corrections of the first step for ever",
            STEPS + "::test_functions_take_the_same_steps_as_classes",
        ),
    ),
    *in_file(
        "python/gradstep/optimizers/apply.py",
        ONE_STEP,
        Mutant(
            "functions forget the scale",
            'scale = values.pop("scale", 1.0)',
            'scale = values.pop("scale", 1.0) and 1.0',
            "scale does nothing in functions",
        ),
        Mutant(
            "functions: keys are text",
            "all(type(key) is str for key in w) and ",
            "",
            "layers that are numbered cannot be stepped",
            f"{STEPS}::test_functions_take_dicts_with_numbers_as_keys",
        ),
        Mutant(
            "functions: keys in the order of each dict",
            "arrays = [like.get(key) for key in w]",
            "arrays = list(like.values())",
            "a gradient steps another parameter",
            STEPS,
        ),
    ),
]
