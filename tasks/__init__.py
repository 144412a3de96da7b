"""Tasks: load by ref, call `penstock/`, save what came out under its content hash, return a ref."""
