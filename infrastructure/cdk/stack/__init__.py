"""Chiplake on AWS: one stack with a bucket, a Glue catalog, images, roles, Airflow Variables and alarms."""
