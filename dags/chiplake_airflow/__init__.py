"""The parts of the DAG. Nothing here imports Spark, torch or a package of the project but `lakehouse.transform_job`."""
