"""Portraits from noise."""
