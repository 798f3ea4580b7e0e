"""Private names of libraries that lushan uses, one module a library.

A private name may change with any release of its library, so each stands here alone, with the
reason why no public one does, and a test in `tests/unit/compat` that fails when it changes.
"""
