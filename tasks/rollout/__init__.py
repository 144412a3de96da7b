"""A release into production and back: on this machine, and by commits for a cluster."""
