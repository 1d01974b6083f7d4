"""Billing records of a made-up dCache, and triggers that wait for its files; the same for the same seed."""

from __future__ import annotations

import json
import random
from typing import Any

from benchmarks.routing_population import SEED, prefix
from penstock.core.event import FILE_CREATED, Event
from penstock.core.lifecycle import DEPLOYED, TRIGGER_CHANGED, Deployed, TriggerChange, request_event

AGAIN = 20
"""One record in so many is the one before, told again."""
CHUNK = 1000
"""Triggers in one deployment."""
USERS = 200


def records(filters: int, count: int, seed: int) -> list[bytes]:
    """Return ``count`` records of finished uploads, each into a folder that one of the filters names."""
    chance = random.Random(f"{SEED} {seed}")
    found: list[bytes] = []
    for index in range(count):
        if index % AGAIN == AGAIN - 1:
            found.append(found[-1])
        else:
            found.append(_record(chance, seed * count + index, chance.randrange(filters)))
    return found


def _record(chance: random.Random, number: int, wanted: int) -> bytes:
    path = f"{prefix(wanted).rstrip('/')}/frame_{number:09}.nxs"
    uid, size, start = 1000 + chance.randrange(USERS), chance.randrange(1 << 34), f"{number:016}"
    time = f"2026-10-14T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.412+02:00"
    pool = f"dcache-pool-{number % 40}"
    record: dict[str, Any] = {
        "date": time,
        "writeActive": "PT35.079S",
        "msgType": "transfer",
        "cellName": pool,
        "session": f"pool:{pool}@{pool}Domain:1791962403412-{number}",
        "subject": [
            f"UidPrincipal[{uid}]",
            f"GidPrincipal[{uid + 1000},primary]",
            "GidPrincipal[3001]",
            f"UserNamePrincipal[user{uid}]",
            "Origin[192.0.2.17]",
        ],
        "initiator": f"door:webdav-door1@doorDomain1:AAZBw1Gkx9A:{start}",
        "transferPath": path,
        "meanWriteBandwidth": 1.2229405740318906e8,
        "queuingTime": 0,
        "cellDomain": f"{pool}Domain",
        "isP2p": False,
        "transferTime": 35120,
        "version": "1.0",
        "storageInfo": "p11:raw@osm",
        "transferSize": size,
        "localEndpoint": "198.51.100.21:24017",
        "protocolInfo": {
            "protocol": "Https", "port": 0, "host": "192.0.2.17", "transferTag": "", "versionMajor": 1,
            "versionMinor": 1,
        },
        "cellType": "pool",
        "fileSize": size,
        "pnfsid": f"{number:036X}",
        "writeIdle": "PT0.041S",
        "billingPath": path,
        "isWrite": "write",
        "status": {"msg": "", "code": 0},
    }  # fmt: skip
    return json.dumps(record, separators=(",", ":")).encode()


def deployments(filters: int) -> list[Event]:
    """Return the events that deploy so many triggers, paused: decisions are recorded, no run begins."""
    triggers: list[dict[str, Any]] = [
        {
            "id": f"trigger-{number:06}",
            "tenant": "local",
            "principal": "bench",
            "name": f"local/filter{number:06}",
            "filter": {"all": [{"exact": {"type": FILE_CREATED}}, {"prefix": {"path": prefix(number)}}]},
            "workflow": "local/none@1",
        }
        for number in range(filters)
    ]
    deployed = [
        Deployed(
            tenant="local",
            principal="bench",
            functions=[],
            workflows=[],
            triggers=triggers[start : start + CHUNK],
        )
        for start in range(0, filters, CHUNK)
    ]
    pauses = [
        TriggerChange(tenant="local", principal="bench", id=str(each["id"]), paused=True) for each in triggers
    ]
    return [request_event(DEPLOYED, each, f"bench {number}", "") for number, each in enumerate(deployed)] + [
        request_event(TRIGGER_CHANGED, each, f"pause {each.id}", "") for each in pauses
    ]
