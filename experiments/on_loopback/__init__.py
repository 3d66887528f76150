"""Real servers on loopback, for experiments and tests: Postgres, MLflow, Ray."""
