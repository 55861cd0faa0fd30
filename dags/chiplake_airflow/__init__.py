"""The parts of the DAG.

Of the project, they import `lakehouse.transform_job` and `lakehouse.causes` only, and neither Spark nor torch.
"""
