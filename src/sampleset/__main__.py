"""`python -m sampleset`."""

from sampleset.cli import main

main()
