"""A run's folder: claim, resume, archive, metrics.json; checkpoints; loading a trained model; TensorBoard."""
