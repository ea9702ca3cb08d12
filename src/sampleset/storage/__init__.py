"""Rows, files, logs, and the store of draws."""
