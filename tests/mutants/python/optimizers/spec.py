"""Ways to break python/gradstep/optimizers/spec.py."""

from listing import COMPAT, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/spec.py",
        f"{OPTIMIZER} {COMPAT}",
        Mutant(
            "betas swapped",
            'f"{name}[0]", value[0]), (second, f"{name}[1]", value[1])',
            'f"{name}[0]", value[1]), (second, f"{name}[1]", value[0])',
            "a long mean and a short scale",
        ),
        Mutant(
            "heavy ball by default",
            "return [(name, source, values[source])]",
            "return [(name, source, 0.0 if values[name] is None else values[name])]",
            "steps ten times too long",
        ),
        Mutant(
            "errors in the core's names",
            "core_args.append((convert, name, value))",
            "core_args.append((convert, convert, value))",
            "an error about a name that nobody gave",
            COMPAT,
        ),
    ),
]
