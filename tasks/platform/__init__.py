"""What outlives a command: supervisor, Prefect's server and worker, deployments, alerts."""
