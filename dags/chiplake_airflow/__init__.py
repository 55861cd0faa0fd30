"""The parts of the DAG.

Of the project, they import `lakehouse.transform_job` and, in a task that failed, `lakehouse.causes`; neither Spark nor
torch.
"""
