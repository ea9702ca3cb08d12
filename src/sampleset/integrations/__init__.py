"""sampleset in the tools people run: one file a tool."""
