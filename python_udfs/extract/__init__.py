"""Cutting: scenes in, chips of the grid out.

- strip.py: what a task is given, a row of cells and their scenes
- reader.py: the protocol between arithmetic and files; rasterio_reader.py: the reader in use
- lattice.py: which pixels of a raster are those of a cell
- radiometry.py: what the numbers of a raster mean
- scenes.py: the open rasters of a task
- chips.py: pixel arithmetic from digital numbers to a merged chip
- cutter.py: the work of a task, from strips to chips
- header.py: what a raster states, for SQL
"""
