"""What the OpenAI protocol says: the fields of replies and streams."""
