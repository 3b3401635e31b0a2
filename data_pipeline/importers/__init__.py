"""Importers: a source as downloaded becomes a dataset directory."""
