"""Flows: the order of things. One lifecycle verb a file."""
