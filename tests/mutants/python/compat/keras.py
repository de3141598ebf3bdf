"""Ways to break python/gradstep/compat/keras.py."""

from listing import COMPAT, Mutant, in_file

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
