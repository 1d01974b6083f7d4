"""What the kill test deploys: one result per file version, one per event from outside."""

import hashlib

from penstock import Call, function

FILES = {
    "all": [
        {"any": [{"exact": {"type": "penstock.file.created"}}, {"exact": {"type": "penstock.file.updated"}}]},
        {"glob": {"path": "*.raw"}},
    ]
}


@function(on=FILES, outputs="{root}/results/{relative}/{stem}.{name}")
def hashed(call: Call) -> dict[str, str]:
    digest = hashlib.sha256(call.open().read()).hexdigest()
    call.output("sha256").write_text(digest)
    return {"sha256": digest}


@function(on={"exact": {"type": "test.ping"}}, outputs="{root}/pings/{name}")
def pinged(call: Call) -> dict[str, str]:
    call.output(call.event["id"]).write_text(call["run"]["id"])
    return {}
