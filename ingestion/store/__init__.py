"""What ingestion writes into the lake: items, rejects, the progress of searches, and the user's BOA offsets."""
