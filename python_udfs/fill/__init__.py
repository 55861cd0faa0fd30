"""Filling: missing pixels of a chip from earlier chips of its cell.

- rule.py: the parameters of filling, as the column rule_version holds them
- source_index.py: the values of the column source_index
- fold.py: the state of a cell, chip after chip
- cell_fold.py: rows of the tables in, rows of fct_filled_chips out, for one cell and rule
- plan.py: what a task is given, the chips of its cells and where their pixels are
- partition_fold.py: the work of a task, from files to rows
"""
