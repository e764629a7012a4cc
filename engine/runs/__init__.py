"""A run's folder: claim, resume, archive; checkpoints; loading a trained model; metrics.json; TensorBoard."""
