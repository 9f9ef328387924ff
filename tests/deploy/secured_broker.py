"""A Kafka broker that knows the users of k8s/ by their certificates and gives them the rights of their KafkaUser."""

from collections.abc import Iterable
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from tests.deploy.kustomize import Manifest
from tests.kafka_broker import KafkaBroker
from tests.server_process import free_ports
from tests.tls import Authority

BOOTSTRAP, CA_FOLDER, USER_FOLDER = "headgate-kafka-bootstrap:9093", "/var/run/kafka/ca", "/var/run/kafka/user"
"""The address and the folders in the manifests. A machine without a cluster has other ones."""

SETTINGS = """
listeners=PLAINTEXT://{address},{controller},SSL://{locked}
advertised.listeners=PLAINTEXT://{address},SSL://{locked}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL
listener.name.ssl.ssl.keystore.type=PEM
listener.name.ssl.ssl.keystore.location={keystore}
listener.name.ssl.ssl.truststore.type=PEM
listener.name.ssl.ssl.truststore.location={authority}
listener.name.ssl.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
"""A listener like Strimzi's. Only the test itself connects without TLS."""

OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
}
RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}
PATTERNS = {"literal": ACLResourcePatternType.LITERAL, "prefix": ACLResourcePatternType.PREFIXED}


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
        self._locked = f"127.0.0.1:{free_ports(1)[0]}"
        with self._properties.open("a") as properties:
            properties.write(
                SETTINGS.format(
                    address=self.address,
                    controller=controller,
                    locked=self._locked,
                    keystore=authority.server_store(folder),
                    authority=authority.file,
                )
            )

    def url(self, user: str, template: str) -> str:
        """The log's address in the manifests, changed to this broker and the files of this user."""
        here = template.replace(BOOTSTRAP, self._locked)
        return here.replace(CA_FOLDER, f"{self._folder}/ca").replace(USER_FOLDER, f"{self._folder}/{user}")

    def grant(self, users: Iterable[Manifest]) -> None:
        """Gives each KafkaUser the rights of its manifest."""
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        admin.create_acls([acl for user in users for acl in _acls(user)])
        admin.close()


def _acls(user: Manifest) -> list[ACL]:
    return [
        ACL(
            principal=f"User:CN={user['metadata']['name']}",
            host="*",
            operation=OPERATIONS[operation],
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(
                RESOURCES[rule["resource"]["type"]],
                rule["resource"]["name"],
                PATTERNS[rule["resource"]["patternType"]],
            ),
        )
        for rule in user["spec"]["authorization"]["acls"]
        for operation in rule["operations"]
    ]
