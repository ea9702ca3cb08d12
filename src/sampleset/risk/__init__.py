"""Answers with a promise: thresholds on confidence whose risk is bounded, and tests that run along.

`thresholds` finds the threshold, `drift` watches whether confidences still look as they did, `worth` tells
whether one method is better than another while gold answers come in.
"""
