"""Private places of libraries as text, for rules and settings that import nothing."""

# Hydra's config store names its default launcher and sweeper by these targets alone.
BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"

# The allow-list compares a class with the place that it is defined in, not with a public alias.
BASE_SAMPLER = "optuna.samplers._base.BaseSampler"
BASE_PRUNER = "optuna.pruners._base.BasePruner"
