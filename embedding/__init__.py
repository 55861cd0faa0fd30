"""Clay embeddings: the encoder, its inference server, and the export, transform and load around it.

`embedding.pipeline` has the functions to call. The modules that Spark's Python workers import (`wire`,
`runs.object_writer`) never import torch at module level.
"""
