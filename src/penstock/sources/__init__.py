"""Outside notices become events."""
