"""Tide gauges as a source of events for Penstock."""
