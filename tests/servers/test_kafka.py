"""The broker of the tests starts, forgets nothing when it is killed, and ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.kafka import Kafka
from tests.servers.plugin import started

UP = Path(__file__).with_name("up.py")


@pytest.mark.slow
def test_a_killed_broker_comes_back_at_its_address(tmp_path: Path) -> None:
    broker = Kafka(tmp_path)
    started(broker)
    address = broker.address
    broker.kill()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", broker.port), 1)
    broker.start()
    assert broker.address == address
    socket.create_connection(("127.0.0.1", broker.port), 1).close()
    broker.stop()
    assert broker.process is None


@pytest.mark.slow
def test_servers_for_hands_on_work_say_how_they_are_reached(kafka: Kafka) -> None:
    command = [sys.executable, str(UP), "kafka", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        said = json.loads(running.stdout.readline())
        host, _, port = said["address"].partition(":")
        socket.create_connection((host, int(port)), 1).close()
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0


def test_an_unknown_server_is_answered_with_those_there_are() -> None:
    ended = subprocess.run([sys.executable, str(UP), "oracle"], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "kafka" in ended.stderr
