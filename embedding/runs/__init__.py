"""Embedding runs: their files, the export that starts one, transforms that answer it, and the load that ends it."""
