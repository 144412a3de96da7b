"""Penstock's values: what a config, a gate, a metric or a release is. Nothing here logs or reads the clock."""

__version__ = "0.1.0"
