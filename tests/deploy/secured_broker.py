"""A Kafka broker that knows the users of k8s/ and lets them do what their KafkaUser says, and nothing else."""

from collections.abc import Iterable

from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from tests.deploy.kustomize import Manifest
from tests.kafka_broker import KafkaBroker

ADMIN = "admin"
PASSWORD = "only-for-this-test"

SETTINGS = """
listeners=SASL_PLAINTEXT://{address},{controller}
advertised.listeners=SASL_PLAINTEXT://{address}
inter.broker.listener.name=SASL_PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required username="{admin}" password="{password}" {users};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:ANONYMOUS
"""

OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
}
RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}
PATTERNS = {"literal": ACLResourcePatternType.LITERAL, "prefix": ACLResourcePatternType.PREFIXED}


class SecuredBroker(KafkaBroker):
    """Passwords stand in for the certificates that Strimzi makes; the rights are the same."""

    def __init__(self, users: Iterable[str]) -> None:
        super().__init__()
        listeners = dict(line.split("=", 1) for line in self._properties.read_text().splitlines() if "=" in line)
        (controller,) = [each for each in listeners["listeners"].split(",") if each.startswith("CONTROLLER")]
        known = " ".join(f'user_{user}="{PASSWORD}"' for user in (ADMIN, *users))
        with self._properties.open("a") as properties:
            properties.write(
                SETTINGS.format(
                    address=self.address, controller=controller, admin=ADMIN, password=PASSWORD, users=known
                )
            )

    def url(self, user: str) -> str:
        """The log's address for a user."""
        options = f"sasl_plain_username={user}&sasl_plain_password={PASSWORD}"
        return f"kafka://{self.address}?security_protocol=SASL_PLAINTEXT&sasl_mechanism=PLAIN&{options}"

    def grant(self, users: Iterable[Manifest]) -> None:
        """Gives each KafkaUser the rights of its manifest."""
        admin = KafkaAdminClient(
            bootstrap_servers=self.address,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_plain_username=ADMIN,
            sasl_plain_password=PASSWORD,
        )
        admin.create_acls([acl for user in users for acl in _acls(user)])
        admin.close()


def _acls(user: Manifest) -> list[ACL]:
    return [
        ACL(
            principal=f"User:{user['metadata']['name']}",
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
