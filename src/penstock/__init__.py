"""Penstock: storage events in, science out.

In a function's file: ``from penstock import function``. The names below come from
``penstock.sdk``, which needs the standard library only, so that they work in every
function's own environment.
"""

from penstock.sdk import Call, Retry, batch, function, workflow

__version__ = "0.1.0"
__all__ = ["Call", "Retry", "__version__", "batch", "function", "workflow"]
