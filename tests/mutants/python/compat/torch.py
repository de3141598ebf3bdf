"""Ways to break python/gradstep/compat/torch.py."""

from listing import COMPAT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/compat/torch.py",
        COMPAT,
        Mutant(
            "torch: another alpha",
            "alpha: Rate = 0.99,",
            "alpha: Rate = 0.9,",
            "not PyTorch's default",
        ),
        Mutant(
            "torch: another eps of Adagrad",
            "eps: Rate = 1e-10,",
            "eps: Rate = 1e-8,",
            "not PyTorch's default",
        ),
        Mutant(
            "torch: another decay of AdamW",
            "weight_decay: Rate = 1e-2,",
            "weight_decay: Rate = 1e-4,",
            "not PyTorch's default",
        ),
        Mutant(
            "torch: SGD's first step is damped",
            'constants={"undamped_start": True}',
            "constants={}",
            "not PyTorch's first step",
        ),
        Mutant(
            "torch: RAdam's eps is scaled",
            '"uncorrected_eps": True',
            '"uncorrected_eps": False',
            "eps counts less than in PyTorch",
        ),
        Mutant(
            "torch: RAdam's threshold",
            '"threshold": 5.0,',
            '"threshold": 4.0,',
            "v counts a step too early",
        ),
        Mutant(
            "torch: Adamax's eps outside",
            'Adamax._spec.but({"eps": "eps_root"}, {"eps": 0.0})',
            "Adamax._spec",
            "eps counts more than in PyTorch",
        ),
        Mutant(
            "torch: nesterov with dampening",
            'if not has_buffer or not is_zero(values["dampening"]):',
            "if not has_buffer:",
            "steps that PyTorch does not have",
        ),
        Mutant(
            "torch: AdamW couples",
            '"bias_correction": True, "decoupled": True}',
            '"bias_correction": True}',
            "AdamW is Adam",
        ),
        Mutant(
            "torch: a step may be differentiable",
            'require_unused("a step here is not part of a graph; leave it out", **graph)',
            "pass",
            "differentiable=True is ignored",
        ),
    ),
]
