"""Weights in this process on OpenVINO's plain runtime, as fast as the processor's instructions allow.

`weights` reads GGUF files, `graph` makes a model of them, `cache` holds the results on disk, `lora` puts an
adapter beside the weights, `paged` runs a batch over a paged cache, `engine` fills the batches.
"""
