"""Trained weights as files that others load."""
