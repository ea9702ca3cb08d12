"""Python in one call: sampling, aggregating and evaluating that waits, and functions as aggregators."""
