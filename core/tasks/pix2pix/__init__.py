"""Photo to sketch."""
