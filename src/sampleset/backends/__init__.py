"""The backends, one file each. The file name is the name that users type."""
