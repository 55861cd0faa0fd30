"""The sources of items: STAC APIs, static catalogues, and local files."""
