"""Chiplake on AWS: one stack of a bucket, a Glue catalog, images, roles, Airflow Variables, alarms."""
