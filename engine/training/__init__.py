"""Training: devices, batches, the compiled loop, the optimizer, the state of a run."""
