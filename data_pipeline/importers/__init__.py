"""Importers: a release as downloaded becomes one dataset directory."""
