"""Metrics: iterables of images in, numbers out."""
