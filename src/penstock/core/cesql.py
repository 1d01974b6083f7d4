"""CESQL."""
