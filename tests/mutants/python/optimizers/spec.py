"""Ways to break python/gradstep/optimizers/spec.py."""

from listing import COMPAT, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/spec.py",
        f"{OPTIMIZER} {COMPAT}",
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
