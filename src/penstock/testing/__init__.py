"""Fakes, conformance suites and a virtual clock, for us and for plug-in authors."""
