"""Drawn portraits: attributes -> geometry -> a shaded photo and a pencil sketch of the same lines."""
