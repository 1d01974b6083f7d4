"""What the dCache kill test deploys: one run per content."""

from penstock import Call, function

WRITTEN = {"all": [{"exact": {"type": "penstock.file.created"}}, {"prefix": {"subject": "/pnfs/"}}]}


@function(on=WRITTEN)
def noted(call: Call) -> dict[str, str]:
    return {"version": call.event["data"]["version"]}
