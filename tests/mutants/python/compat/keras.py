"""Ways to break python/gradstep/compat/keras.py."""

from listing import COMPAT, ONE_STEP, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/compat/keras.py",
        COMPAT,
        Mutant(
            "keras: SGD's rate outside",
            '{"momentum": "beta"},\n        rate_in_buffer=True,',
            '{"momentum": "beta"},\n        rate_in_buffer=False,',
            "schedules act on old gradients too",
        ),
        Mutant(
            "keras: psi as PyTorch has it",
            "momentum_decay=1.0)",
            "momentum_decay=0.004)",
            "other factors of momentum",
        ),
        Mutant(
            "keras: another decay of AdamW",
            "weight_decay: Rate = 0.004,",
            "weight_decay: Rate = 0.01,",
            "not Keras's default",
        ),
        Mutant(
            "keras: another rho",
            "rho: Rate = 0.95,",
            "rho: Rate = 0.9,",
            "not Keras's default",
        ),
        Mutant(
            "keras: decay is coupled",
            '{"decoupled": True, **constants}',
            "constants",
            "decay goes through the moments",
        ),
        Mutant(
            "keras: bounds are dropped",
            "arguments[ours] = theirs[name]",
            "pass",
            "global_clipnorm and clipvalue never clip",
            ONE_STEP,
        ),
        Mutant(
            "keras: what cannot be had is ignored",
            "if not isinstance(value, int | float | None) or value not in neutral:",
            "if False:",
            "clipnorm is ignored",
        ),
        Mutant(
            "keras: RMSprop's eps outside",
            '{"rho": "beta", "epsilon": "eps_root"}, rate',
            '{"rho": "beta", "epsilon": "eps"}, rate',
            "eps counts less than in Keras",
        ),
    ),
    *in_file(
        "python/gradstep/compat/keras.py",
        COMPAT,
        Mutant(
            "the rate is not learning_rate",
            'rate="learning_rate",\n    )\n\n\ndef _sgd_rule',
            'rate="lr",\n    )\n\n\ndef _sgd_rule',
            "opt.lr cannot be set",
        ),
    ),
]
