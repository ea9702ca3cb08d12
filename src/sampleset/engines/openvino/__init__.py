"""Weights in this process on OpenVINO's plain runtime, as fast as the processor's instructions allow.

`weights` reads GGUF files, `graph` builds a model from them, `cache` stores converted models on disk, `lora`
adds an adapter, `paged` runs a batch over a paged cache, and `engine` fills the batches.
"""
