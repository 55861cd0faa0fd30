"""Airflow operators of the DAG. Import the module of a runtime alone: `sagemaker` needs the amazon provider."""
