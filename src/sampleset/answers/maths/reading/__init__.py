"""Which answer a text gives."""
