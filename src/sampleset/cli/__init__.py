"""The command line: parses options. The commands themselves are in `commands`."""
