"""State in PostgreSQL, for many processes; needs the extra ``postgres``."""
