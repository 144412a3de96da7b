"""What a CI system's jobs run, and what they post."""
