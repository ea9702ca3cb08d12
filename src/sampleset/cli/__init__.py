"""The command line: options are parsed here, and the work is done in `commands`."""
