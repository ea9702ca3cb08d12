"""Group-relative policy optimisation of an aggregator that writes its answer."""
