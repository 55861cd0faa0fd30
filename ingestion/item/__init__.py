"""From the JSON of one STAC item to one row of `raw.stac_items`, or to a reject. Nothing here does I/O on a network."""
