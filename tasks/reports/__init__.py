"""Pages, plots, and the mirror in MLflow."""
