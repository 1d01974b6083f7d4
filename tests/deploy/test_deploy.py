"""What a site starts from: container image, Kubernetes objects, dashboard. Each names only what exists."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from penstock.cli.index import COMMANDS
from penstock.server.roles import ROLES
from penstock.server.settings import Settings, check
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.servers.server import free_port
from tests.site.installation import SiteInstallation
from tests.site.seeing import COUNTED, all_succeeded, until, write

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy/container/Containerfile"
OBJECTS = [
    each for each in yaml.safe_load_all((ROOT / "deploy/kubernetes/penstock.yaml").read_text()) if each
]
DASHBOARD = json.loads((ROOT / "deploy/grafana/penstock.json").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for each in OBJECTS if each["kind"] == kind]


def settings_in_map() -> Settings:
    (shared,) = of_kind("ConfigMap")
    return check(tomllib.loads(shared["data"]["penstock.toml"]), "ConfigMap")


def test_every_role_is_deployed_once_with_probes_on_its_health_port() -> None:
    settings, roles = settings_in_map(), []
    for each in of_kind("Deployment"):
        pod = each["spec"]["template"]
        assert each["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        (container,) = pod["spec"]["containers"]
        command, option, role = container["args"]
        assert (command in COMMANDS, option) == (True, "--role")
        roles.append(role)
        assert container["ports"] == [{"name": "health", "containerPort": settings.health.port}]
        for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
            assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "health"}
        assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(settings.health.port)
    assert sorted(roles) == sorted(ROLES)
    assert settings.health.host == "0.0.0.0"


def test_what_is_mounted_is_there_and_secrets_are_named_only() -> None:
    settings = settings_in_map()
    claims = {each["metadata"]["name"] for each in of_kind("PersistentVolumeClaim")} | {"storage-beamline"}
    assert not of_kind("Secret"), "secrets are made by hand"
    for each in of_kind("Deployment"):
        spec = each["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        assert set(mounts.values()) == volumes.keys()
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        for place in (settings.postgres.password_file, settings.kafka.sasl.password.file):
            assert mounts[str(Path(place).parent)] == "secrets"
        assert mounts[settings.storages[0].folder] == "storage"
        assert mounts[str(Path(settings.postgres.tls_ca).parent)] == "tls"
    assert all(each["metadata"].get("namespace", "penstock") == "penstock" for each in OBJECTS)


def test_the_image_is_made_of_what_the_wheel_has() -> None:
    text = CONTAINERFILE.read_text()
    (extras,) = re.findall(r"wheel\}\[([a-z0-9,]+)\]", text)
    assert set(extras.split(",")) == set(PROJECT["optional-dependencies"])
    assert json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.M)[0])[0] in PROJECT["scripts"]
    assert json.loads(re.findall(r"^CMD (.*)$", text, re.M)[0])[0] in COMMANDS
    assert re.findall(r"^EXPOSE (\d+)$", text, re.M) == [str(settings_in_map().health.port)]
    (uid,) = re.findall(r"^ARG UID=(\d+)$", text, re.M)
    for each in of_kind("Deployment"):
        assert each["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == int(uid)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_plain_wheel_serves_every_role(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the build backend comes with ./dev env")
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]
    made = [
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path / "dist"),
        str(ROOT),
    ]
    subprocess.run(made, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    there = tmp_path / "there"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(there), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(there), "PENSTOCK_HOME": str(tmp_path / "home")}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *words], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert all(role in run("penstock", "serve", "--help") for role in ROLES)
    assert (
        "defaults hold"
        in subprocess.run(
            [sys.executable, "-m", "penstock", "check-settings"],
            env=environment,
            capture_output=True,
            text=True,
        ).stderr
    )
    (shared,) = of_kind("ConfigMap")
    place = tmp_path / "penstock.toml"
    place.write_text(shared["data"]["penstock.toml"])
    assert "is well" in run("penstock", "check-settings", str(place))
    assert (there / "bin/penstock").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    os.environ.get("CI") != "true" or shutil.which("podman") is None, reason="built in CI, where podman is"
)
def test_the_image_is_built_and_starts(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path / "dist"), str(ROOT)], check=True)
    command = ["podman", "build", "--tag", "penstock:test", "--file", str(CONTAINERFILE), str(tmp_path)]
    subprocess.run(command, check=True)
    done = subprocess.run(
        ["podman", "run", "--rm", "penstock:test", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("penstock ")


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.timeout(180)
async def test_every_query_of_the_dashboard_names_a_metric_that_is_told(
    tmp_path: Path, kafka: Kafka, postgres: Postgres
) -> None:
    site = SiteInstallation(tmp_path / "home", kafka, postgres)
    port = free_port()
    with site.places.config.open("a") as config:
        config.write(f'\n[health]\nport = {port}\n\n[[storages]]\nname = "gone"\nfolder = "/nowhere"\n')
    try:
        site.start("all", "api", "runs", "sources")
        function = tmp_path / "counted.py"
        function.write_text(COUNTED)
        await site.deploy(function)
        write(site, range(1))
        await until(lambda: all_succeeded(site, 1), site)

        async def told() -> set[str]:
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"http://127.0.0.1:{port}/metrics") as answer,
            ):
                return set(re.findall(r"^(penstock_\w+)[{ ]", await answer.text(), re.M))

        queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
        named = {name for query in queries for name in re.findall(r"penstock_\w+", query)}
        assert len(named) >= 7
        found = await told() | {"penstock_trigger_oldest_seconds"}  # there while something runs
        assert named <= found, named - found
    finally:
        site.close()
