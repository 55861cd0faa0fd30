"""The ground that every other package stands on: settings, catalog, bands, Spark runtime, errors, files."""
