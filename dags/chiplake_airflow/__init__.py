"""What the DAGs are made of. Nothing here imports Spark, torch or the project's own packages."""
