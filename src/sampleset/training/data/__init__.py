"""Training rows, built from stored sample sets."""
