"""What each command does, one file each: open the model, do the work, close the model."""
