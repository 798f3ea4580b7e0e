"""One composed config: where it comes from, what it may name, whether it fits, and what it builds.

`compose` runs Hydra on `conf/`; `targets` says what a `_target_` may be; `signatures` reads what
it takes; `check` compares the two; `build` is the one place where a config becomes an object.
"""
