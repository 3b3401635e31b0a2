"""The training step, its loop, and all that must survive a crash."""
