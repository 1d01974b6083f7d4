"""A simulated dCache: its namespace, its frontend over HTTP, its billing records, and their faults."""
