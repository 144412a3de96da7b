"""Looking after an installation: doctor, garbage collection, the sandbox, the simulation."""
