"""What this machine and environment are: settings, memory, time, secrets, what is told of a step."""
