"""Ways to break python/gradstep/compat/torch.py."""

from listing import COMPAT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/compat/torch.py",
        COMPAT,
        Mutant(
            "torch: SGD's first step is damped",
            'constants={"undamped_start": True}',
            "constants={}",
            "not PyTorch's first step",
        ),
        Mutant(
            "torch: Adamax's eps outside",
            'Adamax._spec.but({"eps": "eps_root"}, {"eps": 0.0})',
            "Adamax._spec",
            "eps counts more than in PyTorch",
        ),
    ),
]
