"""From sources to checked rows: reading, versions, schema, profiles; the project's files."""
