"""Ways to break python/gradstep/checkpoints/parts.py."""

from listing import CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoints/parts.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: a subclass loads in its base's way",
            '        if "state_dict" in vars(kind) or "load_state_dict" in vars(kind):\n            return False\n',
            "",
            "a subclass forgets its own state",
        ),
        Mutant(
            "checkpoints: structures are flattened",
            '    return Part("tree", whole)',
            '    return Part("arrays", arrays)',
            "a tree comes back as a dict of joined names",
        ),
        Mutant(
            "checkpoints: live arrays in the background",
            "    shared = [name for name, part in parts.items() if not prepares(part)]",
            "    shared = []",
            "weights of later steps are saved",
        ),
    ),
]
