"""A Kafka broker with an authorizer. It knows the users of k8s/ by their certificates, or by SCRAM over TLS."""

from collections.abc import Iterable
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import UserScramCredentialUpsertion

from tests.kafka_broker import KafkaBroker
from tests.server_process import free_ports
from tests.tls import Authority

BOOTSTRAP, CA_FOLDER, USER_FOLDER = "headgate-kafka-bootstrap:9093", "/var/run/kafka/ca", "/var/run/kafka/user"
"""The address and the folders in the manifests. A machine without a cluster has other ones."""

SETTINGS = """
listeners=PLAINTEXT://{address},{controller},SSL://{locked},SASL_SSL://{scram}
advertised.listeners=PLAINTEXT://{address},SSL://{locked},SASL_SSL://{scram}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
    org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.ssl.keystore.type=PEM
listener.name.sasl_ssl.ssl.keystore.location={keystore}
listener.name.ssl.ssl.keystore.type=PEM
listener.name.ssl.ssl.keystore.location={keystore}
listener.name.ssl.ssl.truststore.type=PEM
listener.name.ssl.ssl.truststore.location={authority}
listener.name.ssl.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
"""A listener like Strimzi's, and one for passwords. Only the test itself connects without TLS."""

PASSWORD = "s3cret"


class SecuredBroker(KafkaBroker):
    """Writes the files of Strimzi's Secrets to `folder`: ca/ca.crt, and user.crt and user.key for each user."""

    def __init__(self, folder: Path, users: Iterable[str]) -> None:
        super().__init__()
        self._folder = folder
        authority = Authority.new(folder, "authority")
        for user in ("ca", *users):
            (folder / user).mkdir()
        (folder / "ca/ca.crt").write_bytes(authority.file.read_bytes())
        for user in users:
            authority.issue(user, folder / user / "user.crt", folder / user / "user.key")
        listeners = dict(line.split("=", 1) for line in self._properties.read_text().splitlines() if "=" in line)
        (controller,) = [each for each in listeners["listeners"].split(",") if each.startswith("CONTROLLER")]
        self._locked, self._scram = (f"127.0.0.1:{port}" for port in free_ports(2))
        with self._properties.open("a") as properties:
            properties.write(
                SETTINGS.format(
                    address=self.address,
                    controller=controller,
                    locked=self._locked,
                    scram=self._scram,
                    keystore=authority.server_store(folder),
                    authority=authority.file,
                )
            )

    def url(self, user: str, template: str) -> str:
        """The log's address in the manifests, changed to this broker and the files of this user."""
        here = template.replace(BOOTSTRAP, self._locked)
        return here.replace(CA_FOLDER, f"{self._folder}/ca").replace(USER_FOLDER, f"{self._folder}/{user}")

    def scram_url(self, user: str) -> str:
        """The log's address for this user with a password over TLS. The broker then knows this password."""
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, "SCRAM-SHA-512", PASSWORD)])
        admin.close()
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        return (
            f"kafka://{self._scram}?security_protocol=SASL_SSL&ssl_cafile={self._folder}/ca/ca.crt"
            f"&sasl_mechanism=SCRAM-SHA-512&sasl_plain_username={user}&sasl_plain_password_file={secret}"
        )
