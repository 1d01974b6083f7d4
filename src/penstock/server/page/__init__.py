"""The web page: one shell, static modules, no build step and nothing from other sites.

It asks the REST API like any other client and changes by one stream of pushes (see ``docs/how-to/page.md``).
"""

from penstock.server.page.routes import routes

__all__ = ["routes"]
