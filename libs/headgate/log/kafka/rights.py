"""Gives principals their rights on a Kafka cluster, as `headgate topics acls --apply` does."""

from collections.abc import Mapping, Sequence

from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from headgate.domain.words import counted
from headgate.log.kafka.client import built, common_settings, connecting, retried
from headgate.log.rights import RIGHTS, Acl, acls

_OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
}
_RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}
_EVERY_HOST = "*"


def grant(servers: Sequence[str], options: Mapping[str, object], principals: Mapping[str, str]) -> None:
    """Gives each principal the rights of its name in the table. Rights that it has already stay. Raises LogError."""
    bindings = [
        binding
        for name, principal in principals.items()
        for acl in acls(RIGHTS[name])
        for binding in _bindings(acl, principal)
    ]
    with connecting(servers):
        admin = built(KafkaAdminClient, common_settings(servers, options))
    try:
        retried("giving rights", lambda: _create(admin, bindings))
    finally:
        admin.close()


def _create(admin: KafkaAdminClient, bindings: Sequence[ACL]) -> None:
    # The library raises nothing for a binding that the brokers have refused.
    refused = admin.create_acls(list(bindings))["failed"]
    if refused:
        raise refused[0](f"refused are {len(refused)} of {counted(len(bindings), 'right')}")


def _bindings(acl: Acl, principal: str) -> list[ACL]:
    pattern = ACLResourcePatternType.PREFIXED if acl.is_prefix else ACLResourcePatternType.LITERAL
    return [
        ACL(
            principal=principal,
            host=_EVERY_HOST,
            operation=_OPERATIONS[operation],
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(_RESOURCES[acl.resource], acl.name, pattern),
        )
        for operation in acl.operations
    ]
