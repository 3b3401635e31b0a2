"""Metrics: images or their features in, numbers out."""
