"""What was served, watched: logs, windows, labels, drift, quality, alarms, retraining."""
