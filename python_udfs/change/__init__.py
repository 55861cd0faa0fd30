"""Change: patches of a chip against their own season and against their like of the same night (docs/change.md)."""
