"""One file each; the file name is the name users type."""
