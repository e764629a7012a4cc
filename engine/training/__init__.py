"""Where and how training runs: devices, batches, the compiled loop, the state of a run."""
