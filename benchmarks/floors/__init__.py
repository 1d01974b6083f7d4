"""Floors: the least that the job needs, with the standard library alone. Nothing of Penstock is imported."""
