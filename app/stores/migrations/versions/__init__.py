"""The steps of the schema, in order; each only expands."""
