"""Mathematical answers: reading them out of a text, and deciding whether two are equal."""
