"""What kind of thing an answer is, and its value."""
