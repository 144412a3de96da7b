"""The model server: one BentoML service for any project, and what builds and starts it. Imports `penstock/` only."""
