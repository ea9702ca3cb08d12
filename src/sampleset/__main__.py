"""`python -m sampleset`."""

from sampleset.cli.main import main

main()
