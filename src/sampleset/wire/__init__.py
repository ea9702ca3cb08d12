"""The OpenAI protocol: one HTTP client, the fields of replies and streams, and the meaning of errors."""
