"""Measurements on one harness."""
