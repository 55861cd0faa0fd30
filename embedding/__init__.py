"""Clay embeddings: encoder, inference server, and the export, transform and load around it.

The modules that Spark's Python workers import (`objects`, `export`, `load`) never import torch at module level.
"""
