"""A client for programs and notebooks: ``from penstock.client import Client``."""

from penstock.client.client import Client

__all__ = ["Client"]
