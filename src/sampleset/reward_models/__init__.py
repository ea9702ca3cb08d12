"""Scores of samples, without gold: one file per kind of reward model, named as users type it."""
