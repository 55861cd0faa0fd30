"""Search among embeddings: workers read them from the data files of Iceberg tables, and none passes through the JVM."""
