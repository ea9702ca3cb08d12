"""Right or wrong: an answer against the gold answer (`grade`), and a model that judges sameness (`judge`)."""
