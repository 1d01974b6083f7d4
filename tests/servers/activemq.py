"""Apache ActiveMQ: one broker that speaks STOMP, from Debian."""

from __future__ import annotations

import subprocess
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
    {more}
    <transportConnectors>
      <transportConnector name="stomp" uri="{scheme}://127.0.0.1:{port}"/>
    </transportConnectors>
  </broker>
</beans>
"""

PLUGINS = """\
    <plugins><simpleAuthenticationPlugin><users>
      <authenticationUser username="{user}" password="{password}" groups="users"/>
    </users></simpleAuthenticationPlugin></plugins>
    <sslContext><sslContext keyStore="file:{store}" keyStorePassword="{password}"/></sslContext>
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
    scheme = "stomp"

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
        settings = BROKER.format(data=data, port=self.port, scheme=self.scheme, more=self.more())
        (self.folder / "activemq.xml").write_text(settings)
        (self.folder / "log4j.properties").write_text(LOGGING)

    def more(self) -> str:
        """Return further parts of its settings."""
        return ""

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


class SecureActiveMq(ActiveMq):
    """The same behind TLS, for one user.

    Attributes:
        ca: File with the certificate that its own is signed with: itself.
    """

    name = "activemq-secure"
    scheme = "stomp+ssl"
    user, password = "penstock", "not-a-secret"

    def prepare(self) -> None:
        """Make a certificate, besides the rest."""
        self.ca = self.folder / "broker.crt"
        key = self.folder / "broker.key"
        names = "subjectAltName=IP:127.0.0.1"
        openssl = program("openssl", "openssl")
        made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=broker"]
        files = ["-keyout", str(key), "-out", str(self.ca)]
        subprocess.run([*made, "-addext", names, *files], check=True, capture_output=True)
        store = ["-export", "-in", str(self.ca), "-inkey", str(key), "-out", str(self.folder / "broker.p12")]
        subprocess.run([openssl, "pkcs12", *store, "-passout", f"pass:{self.password}"], check=True)
        super().prepare()

    def more(self) -> str:
        """Return the user and the certificate."""
        return PLUGINS.format(user=self.user, password=self.password, store=self.folder / "broker.p12")
