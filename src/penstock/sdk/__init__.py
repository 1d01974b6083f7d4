"""What a function's author imports. Standard library only: it runs in every function's environment.

::

    from penstock import function

    @function(on="*.nxs", outputs="{parent}/derived/{stem}.{name}")
    def summarise(call):
        size = len(call.open().read())
        call.output("summary.txt").write_text(f"{size} bytes")
        return {"bytes": size}

The contract is OpenWhisk's action contract: a JSON object in, a JSON object out. ``call`` *is*
that object (a ``dict``), with a few helpers.
"""

from penstock.sdk.call import Call
from penstock.sdk.define import (
    Batch,
    FunctionDefinition,
    Retry,
    WorkflowDefinition,
    batch,
    function,
    workflow,
)

__all__ = [
    "Batch",
    "Call",
    "FunctionDefinition",
    "Retry",
    "WorkflowDefinition",
    "batch",
    "function",
    "workflow",
]
