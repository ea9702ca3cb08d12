"""Numbers, units of measure, dates and times."""
