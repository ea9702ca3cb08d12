"""Hugging Face models in this process: files, tokens, batches, and an engine shared by calls."""
