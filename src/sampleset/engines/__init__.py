"""Where backends and grading run, if not in this process."""
