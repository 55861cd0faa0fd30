"""The Spark runtime: which jars, which properties, one session."""
