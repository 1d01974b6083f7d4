"""Decisions to a database and back."""
