"""Composites: one picture of a cell from all its chips of a month, season or year.

- rule.py: the parameters of a composite, as the column rule_version holds them
- medians.py: exact medians of many layers, pixel by pixel
- composite.py: the chips of a cell in, the pixels of its composite out
- plan.py: what a task is given, the chips of its composites and where their pixels are
- partition_composites.py: the work of a task, from files to rows of fct_composites
"""
