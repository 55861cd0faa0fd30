"""Airflow operators of the DAG. Import only the module of a runtime: `sagemaker` needs the amazon provider."""
