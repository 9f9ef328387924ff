"""`headgate version bom` prints what a version was made of, as a bill of materials that other tools read."""

import json
from pathlib import Path

import typer

from headgate.artifacts.layout import PROVENANCE_FILE
from headgate.bom.version import version_bom
from headgate.cli.encryption_key import EncryptionKey, EncryptionToken, opened_key
from headgate.cli.models import VersionName
from headgate.cli.printing import show
from headgate.cli.session import HOME, KEYS, refuse_wrong_port, session, version_name
from headgate.cli.version_download import KeysFolder, StoreUrl, store_or_own, verified_files
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.v1 import registry_service_pb2 as registry_service


def show_bom(
    context: typer.Context,
    name: VersionName,
    artifacts: StoreUrl = "",
    keys: KeysFolder = None,
    encryption_key: EncryptionKey = "",
    encryption_token: EncryptionToken = None,
) -> None:
    """Print a version's bill of materials as CycloneDX 1.6: files, code, data, packages and metrics.

    The packages are read out of the artifact's provenance, after its signature and digest are checked.
    """
    refuse_wrong_port("--artifacts", artifacts)
    request = registry_service.GetVersionRequest(name=version_name(name))
    version = session(context).stubs.registry.GetVersion(request, timeout=TIMEOUT_SECONDS)
    decrypting = opened_key(encryption_key, encryption_token)
    files = verified_files(version, store_or_own(artifacts), keys or Path(HOME) / KEYS, [PROVENANCE_FILE], decrypting)
    show(version_bom(version, json.loads(files[PROVENANCE_FILE])))
