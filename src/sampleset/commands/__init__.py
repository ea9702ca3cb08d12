"""The work of each command, one file each: open the model, do the work, close the model."""
