"""The Spark session and every Python function that SQL can call."""
