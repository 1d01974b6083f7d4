"""Apache Kafka: one broker that is its own controller, from Maven Central."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.server import Missing, Server, cached, free_port, program

VERSION = "4.3.1"
CLUSTER = "4L6g3nShT-eMCtK--X86sw"
POM = Path(__file__).with_name("kafka.pom.xml")
FETCH_S = 600.0
"""Longest time that Maven may take for some 50 MB."""

LOG4J = """\
<Configuration status="error">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="info"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "auto.create.topics.enable": "false",
    # A killed broker is forgotten soon, so that it may come back soon.
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "300",
    # Retention and its checks within what a test can wait for.
    "log.retention.check.interval.ms": "500",
    "log.segment.delete.delay.ms": "0",
    "log.initial.task.delay.ms": "100",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
}


class Kafka(Server):
    """A broker on loopback without security.

    Args:
        folder: Where data and log are.
        proxy_port: Where a proxy for ``far_port`` listens: clients that begin there stay on it.
    """

    name = "kafka"
    ready = "Kafka Server started"

    def __init__(self, folder: Path, proxy_port: int | None = None) -> None:
        super().__init__(folder)
        self.proxy_port = proxy_port

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Fetch the broker, write its settings, format its storage."""
        self.jars = self.fetched()
        self.port, self.far_port, self.controller_port = free_port(), free_port(), free_port()
        (self.folder / "log4j2.xml").write_text(LOG4J)
        properties = PROPERTIES | self.properties()
        lines = [f"{key}={value}\n" for key, value in properties.items()]
        (self.folder / "server.properties").write_text("".join(lines))
        self.format()

    def fetched(self) -> Path:
        """Return the folder with its jars."""
        return fetch()

    def properties(self) -> dict[str, str]:
        """Return the settings that differ from broker to broker."""
        return {
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},FAR://127.0.0.1:{self.far_port},"
            f"CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port},"
            f"FAR://127.0.0.1:{self.proxy_port or self.far_port}",
            "log.dirs": str(self.folder / "data"),
        }

    def format(self, *options: str) -> None:
        """Make its storage."""
        arguments = ["format", "-t", CLUSTER, "-c", "server.properties", *options]
        command = java(self.jars, "kafka.tools.StorageTool", *arguments)
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"Kafka's storage cannot be formatted:\n{done.stdout}{done.stderr}")

    def command(self) -> list[str]:
        """Return the broker's command line."""
        return java(self.jars, "kafka.Kafka", "server.properties", options=self.java_options())

    def java_options(self) -> list[str]:
        """Return further options of the Java machine."""
        return []

    def described(self) -> dict[str, str]:
        """Return how it is reached."""
        return {"address": self.address}


def java(jars: Path, main: str, *arguments: str, options: list[str] | None = None) -> list[str]:
    """Return a command that runs one of Kafka's classes in a small Java machine."""
    archive = jars.parent / "classes.jsa"
    shared = [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
    return [
        program("java", "default-jre-headless"),
        *("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile=log4j2.xml"),
        *(shared if archive.exists() else []),
        *(options or []),
        *("-cp", f"{jars}/*", main, *arguments),
    ]


def fetch() -> Path:
    """Return the folder with the broker's jars, fetched by Maven once for all checkouts.

    Raises:
        Missing: Maven or Java is missing, or the jars cannot be fetched.
    """
    program("java", "default-jre-headless")
    with cached(f"kafka-{VERSION}") as folder:
        jars = folder / "jars"
        if not jars.exists():
            _download(folder / "new")
            (folder / "new").rename(jars)
        if not (folder / "classes.jsa").exists():
            _archive_classes(folder, jars)
        return jars


def _download(into: Path) -> None:
    shutil.rmtree(into, ignore_errors=True)
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
    command = [program("mvn", "maven"), "-q", "-B", "-f", str(POM), *goal]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S)
    if done.returncode:
        raise Missing(f"Maven cannot fetch Kafka {VERSION}:\n{done.stdout[-2000:]}")


class _Rehearsal(Kafka):
    """A broker that writes down which classes it loads; later ones start three times as fast."""

    def __init__(self, folder: Path, jars: Path, archive: Path) -> None:
        super().__init__(folder)
        self._jars, self._archive = jars, archive

    def fetched(self) -> Path:
        return self._jars

    def java_options(self) -> list[str]:
        return [f"-XX:ArchiveClassesAtExit={self._archive}"]


def _archive_classes(folder: Path, jars: Path) -> None:
    fresh = folder / "classes.new"
    with tempfile.TemporaryDirectory(prefix="penstock-kafka-") as place:
        broker = _Rehearsal(Path(place), jars, fresh)
        try:
            broker.start()
        finally:
            broker.stop()  # it writes the archive at its end
    if fresh.exists():
        fresh.rename(folder / "classes.jsa")
