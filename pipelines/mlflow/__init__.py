"""What is logged to MLflow and read from it; the only place that imports it."""
