"""A Dask cluster: asking it, pieces of files, parts that train together."""
