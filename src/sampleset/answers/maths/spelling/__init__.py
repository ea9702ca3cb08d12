"""One spelling for the many ways to write the same thing."""
