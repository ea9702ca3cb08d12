"""Answers that are programs: what they print decides, in a sandbox."""
