"""Guard of what a model is asked and answers: unsafe texts are refused, personal data redacted.

guard = open_guard(RUN)                    # lushan.inference.guarding
guard.check(prompt).is_safe
for piece in guard.stream(pieces): ...     # nothing unsafe is among them
"""

from lushan.guard.guard import Guard, Stream, Verdict
from lushan.guard.personal import Redactor, redact

__all__ = ["Guard", "Redactor", "Stream", "Verdict", "redact"]
