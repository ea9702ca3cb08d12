"""The datasets, one file each. The file name is the name that users type."""
