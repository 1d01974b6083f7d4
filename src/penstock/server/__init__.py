"""Settings, wiring, API and page."""
