"""Sample sets as other tools write them: one file a format, found by its name."""
