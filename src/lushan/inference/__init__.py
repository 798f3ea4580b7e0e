"""What was trained is used: judged again, and asked about new text."""

from lushan.inference.judging import evaluate
from lushan.inference.predicting import predict

__all__ = ["evaluate", "predict"]
