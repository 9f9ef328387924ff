"""What an imported version is made from: the uploaded files, in place of a checkout and its data files."""

from pathlib import Path

from headgate.artifacts.layout import MODEL_FILE
from headgate.artifacts.store import ArtifactError, ArtifactStore
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.failure import AttemptFailed

MODEL, ROWS = "model", "rows"
"""The names under which the training process gets the paths of both files."""


def fetch_upload(
    store: ArtifactStore, upload: facts.Upload, scratch: Path
) -> tuple[Path, configuration.ModelConfiguration, dict[str, Path]]:
    """A folder with both files, the declared configuration, and the path of each file. Raises AttemptFailed."""
    folder = scratch / "checkout"
    folder.mkdir()
    files = {MODEL: folder / MODEL_FILE, ROWS: folder / ROWS}
    for name, sha256 in ((MODEL, upload.model_sha256), (ROWS, upload.rows_sha256)):
        try:
            files[name].write_bytes(store.get(sha256))
        except ArtifactError as error:
            reason = f"the uploaded file of the {name} is not in the artifact store: {error}. Import it again"
            raise AttemptFailed(facts.STAGE_DATA, reason) from error
    return folder, upload.configuration, files
