"""Servers of the tests: a double of AWS, and STAC servers from packages."""
