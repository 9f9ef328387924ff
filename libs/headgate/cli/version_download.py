"""`headgate version download` copies a version's artifact into a folder, after every check that a gateway makes too."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from headgate.artifacts.encryption.key_encryption import KeyEncryption
from headgate.artifacts.file_urls import path_of
from headgate.artifacts.key_files import KeyUnusable
from headgate.artifacts.keys import load_trusted
from headgate.artifacts.manifest import unseal
from headgate.artifacts.model_statement import SIGNATURE_NAME
from headgate.artifacts.old_manifest import read_envelope
from headgate.cli.encryption_key import EncryptionKey, EncryptionToken, opened_key
from headgate.cli.exit_codes import Exit
from headgate.cli.files import local_path
from headgate.cli.models import VersionName
from headgate.cli.new_folder import require_new, write_all
from headgate.cli.printing import report
from headgate.cli.render import Format, Output, show_rows
from headgate.cli.session import HOME, KEYS, CommandFailed, refuse_wrong_port, session, usage, version_name
from headgate.cli.version_attestations import attestations_beside
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.credentials import without_credentials
from headgate.domain.label import standing
from headgate.domain.names import in_words
from headgate.domain.versions import is_purged
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources

OLD_MANIFEST_FILE = "manifest.dsse.json"
"""The signed manifest of an older version among its files. Today it is model.sig, where others look for it."""

StoreUrl = Annotated[
    str,
    typer.Option(
        envvar="HEADGATE_ARTIFACTS", help="The artifact store; by default that of `headgate up` in this folder."
    ),
]
KeysFolder = Annotated[
    Path | None,
    typer.Option(
        parser=local_path,
        metavar="FOLDER",
        envvar="HEADGATE_KEYS",
        help="The folder with the trusted keys; by default that of `headgate up` in this folder.",
    ),
]


def download_version(
    context: typer.Context,
    name: VersionName,
    folder: Annotated[
        Path, typer.Argument(parser=local_path, metavar="FOLDER", help="A new folder for the files; it must not exist.")
    ],
    file: Annotated[
        list[str] | None, typer.Option("--file", help="Only this file, for example model.onnx. Repeatable.")
    ] = None,
    artifacts: StoreUrl = "",
    keys: KeysFolder = None,
    encryption_key: EncryptionKey = "",
    encryption_token: EncryptionToken = None,
    output: Output = Format.TABLE,
) -> None:
    """Copy the files of a trained version into a new folder. Its signature and every digest are checked first.

    The folder also has model.sig, with which any verifier of OpenSSF Model Signing checks it again. Without --file it
    has in attestations/ what `headgate version attestations` writes.
    """
    refuse_wrong_port("--artifacts", artifacts)
    require_new(folder)
    request = registry_service.GetVersionRequest(name=version_name(name))
    version = session(context).stubs.registry.GetVersion(request, timeout=TIMEOUT_SECONDS)
    decrypting = opened_key(encryption_key, encryption_token)
    files = verified_files(version, store_or_own(artifacts), keys or Path(HOME) / KEYS, file or (), decrypting)
    if not file:
        files |= attestations_beside(session(context).stubs, version.name)
    write_all(files, folder)
    show_rows([{"file": str(folder / name), "bytes": len(content)} for name, content in files.items()], output)
    report(f"the signature and the digests of {in_words(version.name)} are right")


def store_or_own(url: str) -> str:
    """The URL of the store; without one, that of `headgate up` in this folder."""
    return url or (Path(HOME) / "artifacts").absolute().as_uri()


def verified_files(
    version: resources.Version,
    store_url: str,
    keys: Path,
    wanted: Sequence[str] = (),
    decrypting: KeyEncryption | None = None,
) -> dict[str, bytes]:
    """The files by name, with the signed manifest. Without `wanted`, all files. Raises CommandFailed."""
    # Imported here, because the other commands need no object store.
    from headgate.artifacts.store import ArtifactError, StoreUnavailable, StoreUnusable, open_store

    if is_purged(version):
        raise CommandFailed(f"{in_words(version.name)} is purged: its artifact is deleted", Exit.NOT_FOUND)
    if not version.artifact.manifest_sha256:
        raise CommandFailed(f"{standing(version)}, so it has no artifact", Exit.NOT_FOUND)
    for folder in (keys, *_folder_of(store_url)):
        if not folder.is_dir():
            raise CommandFailed(f"there is no folder {folder}", Exit.NOT_FOUND)
    try:
        store = open_store(store_url, create=False, keys=decrypting)
        digests = unseal(store, version.artifact, version.name, load_trusted(keys))
        chosen = _chosen(digests, wanted)
        files = {name: store.get(sha256) for name, sha256 in chosen.items()}
        manifest = store.get(version.artifact.manifest_sha256)
        return {**files, OLD_MANIFEST_FILE if read_envelope(manifest) else SIGNATURE_NAME: manifest}
    except StoreUnusable as error:
        raise CommandFailed(f"the artifact store {without_credentials(store_url)!r}: {error}", Exit.USAGE) from error
    except StoreUnavailable as error:
        raise CommandFailed(str(error), Exit.UNAVAILABLE) from error
    except (ArtifactError, KeyUnusable) as error:
        raise CommandFailed(f"the artifact of {in_words(version.name)} cannot be used: {error}") from error


def _folder_of(store_url: str) -> list[Path]:
    """The folder that a file URL names; none for a bucket, and for a URL that the store refuses."""
    with suppress(ValueError):
        return [path_of(store_url)]
    return []


def _chosen(digests: Mapping[str, str], wanted: Sequence[str]) -> Mapping[str, str]:
    for name in wanted:
        if name not in digests:
            usage(f"the artifact has no file {name!r}; it has {', '.join(digests)}")
    return {name: digests[name] for name in wanted} if wanted else digests
