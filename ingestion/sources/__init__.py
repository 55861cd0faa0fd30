"""Where items come from: STAC APIs, static catalogues, and local files."""
