"""Files that are scored in batches."""
