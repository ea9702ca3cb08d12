"""Answers with a promise: thresholds on confidence whose risk is bounded.

`thresholds` finds the threshold, `certificate` keeps it with all that it holds for, `drift` watches whether
confidences still look as they did.
"""
