"""The base of all other packages: settings, catalog, bands, Spark runtime, errors, files."""
