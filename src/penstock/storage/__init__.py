"""Bytes in and out: publication of results."""
