"""Table function `fill_chips`: missing pixels of a chip from earlier chips of its cell.

- rule.py: the parameters of filling, as the column rule_version holds them
- source_index.py: the values of the column source_index
- fold.py: the state of a cell, chip after chip
- table_function.py: what Spark calls
"""
