"""What an imported version is made from: the uploaded files, in place of a checkout and its data files."""

from pathlib import Path

from headgate.artifacts.layout import MODEL_FILE
from headgate.artifacts.store import ArtifactError, ArtifactStore
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.failure import AttemptFailed

MODEL, ROWS, ARCHITECTURE = "model", "rows", "architecture"
"""The names under which the training process gets the paths of the files. Not every import has an architecture."""


def fetch_upload(
    store: ArtifactStore, upload: facts.Upload, scratch: Path
) -> tuple[Path, configuration.ModelConfiguration, dict[str, Path]]:
    """A folder with the files, the declared configuration, and the path of each file. Raises AttemptFailed."""
    folder = scratch / "checkout"
    folder.mkdir(exist_ok=True)
    digests = {MODEL: upload.model_sha256, ROWS: upload.rows_sha256, ARCHITECTURE: upload.architecture_sha256}
    files = {name: folder / (MODEL_FILE if name == MODEL else name) for name, sha256 in digests.items() if sha256}
    for name in files:
        sha256 = digests[name]
        try:
            files[name].write_bytes(store.view(sha256))
        except ArtifactError as error:
            reason = f"the uploaded file of the {name} is not in the artifact store: {error}. Import it again"
            raise AttemptFailed(facts.STAGE_DATA, reason) from error
    return folder, upload.configuration, files
