"""Clay: its encoder, its weights, what it sees of a chip, and embeddings of tables of chips."""
