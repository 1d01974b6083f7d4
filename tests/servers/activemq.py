"""Apache ActiveMQ: one broker that speaks STOMP, from Debian."""

from __future__ import annotations

from pathlib import Path

from tests.servers.server import Missing, Server, free_port, program

HOME = Path("/usr/share/activemq")

BROKER = """\
<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans
    http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
    http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" useJmx="false" brokerName="penstock"
      dataDirectory="{data}">
    <persistenceAdapter><kahaDB directory="{data}/kahadb" journalMaxFileLength="4mb"/></persistenceAdapter>
    <systemUsage><systemUsage>
      <memoryUsage><memoryUsage limit="64 mb"/></memoryUsage>
      <storeUsage><storeUsage limit="256 mb"/></storeUsage>
      <tempUsage><tempUsage limit="64 mb"/></tempUsage>
    </systemUsage></systemUsage>
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://127.0.0.1:{port}"/>
    </transportConnectors>
  </broker>
</beans>
"""

LOGGING = """\
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %m%n
"""


class ActiveMq(Server):
    """A broker on loopback; its messages are kept on disk.

    Attributes:
        address: ``host:port`` for STOMP.
    """

    name = "activemq"
    ready = "Connector stomp started"

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Choose a port and write the settings."""
        if not (HOME / "lib" / "activemq-stomp.jar").exists():
            raise Missing("ActiveMQ is missing (sudo apt install activemq)")
        self.port = free_port()
        data = self.folder / "data"
        (self.folder / "activemq.xml").write_text(BROKER.format(data=data, port=self.port))
        (self.folder / "log4j.properties").write_text(LOGGING)

    def command(self) -> list[str]:
        """Return the broker's command line, in a small Java machine."""
        jars = f"{self.folder}:{HOME}/lib/*:{HOME}/lib/optional/*"
        return [
            program("java", "default-jre-headless"),
            *("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *(f"-Dactivemq.home={HOME}", f"-Dactivemq.base={self.folder}", f"-Dactivemq.conf={self.folder}"),
            f"-Dactivemq.data={self.folder}/data",
            *("-cp", jars, "org.apache.activemq.console.Main", "start"),
            f"xbean:file:{self.folder}/activemq.xml",
        ]

    def described(self) -> dict[str, str]:
        """Return how it is reached."""
        return {"stomp": self.address}
