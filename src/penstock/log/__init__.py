"""Events to disk and back, in order."""
