"""Real servers for tests and for hands-on work: one module per server, each with a subclass of ``Server``."""
