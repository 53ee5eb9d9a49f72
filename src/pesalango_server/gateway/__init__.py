"""HTTP of the operator's API: the only package, with the catalog, that speaks its names."""
