"""Rows with pixels, which workers read from the data files of Iceberg tables: no pixel passes through the JVM."""
