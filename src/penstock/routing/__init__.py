"""Routing: which subscriptions want an event, however many there are."""

from penstock.routing.index import FilterIndex

__all__ = ["FilterIndex"]
