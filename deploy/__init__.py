"""From a model bundle to an engine to pictures; knows nothing of training."""
