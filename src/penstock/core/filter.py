"""Filters: which events a subscription wants."""
