"""Nouns, decisions and joints. No I/O: time, chance and ids come in as arguments."""
