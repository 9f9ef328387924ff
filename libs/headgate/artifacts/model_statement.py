"""The statement of OpenSSF Model Signing 1.0 about the files of one version: the digest of each, and one of all.

`model-signing verify` checks a folder with these files against it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from headgate.artifacts.bundle import STATEMENT_TYPE, Json, statement_of
from headgate.domain.names import SHA256
from headgate.domain.strict_json import read_json

PREDICATE_TYPE = "https://model_signing/signature/v1.0"
SIGNATURE_NAME, ATTESTATIONS = "model.sig", "attestations"
"""What lies beside the files in an exported folder, and is signed by itself."""
METHOD: Json = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}


class NotAModel(ValueError):
    """The payload is no statement about the files of a model. The message says what is wrong."""


def model_statement(subject: str, digests: Mapping[str, str]) -> bytes:
    """The statement that these files, by name with their SHA-256, are those of the version `subject`."""
    resources = [{"name": name, "algorithm": "sha256", "digest": sha256} for name, sha256 in sorted(digests.items())]
    serialization = {**METHOD, "ignore_paths": [ATTESTATIONS, SIGNATURE_NAME]}
    subjects: list[Json] = [{"name": subject, "digest": {"sha256": root_digest(each["digest"] for each in resources)}}]
    return statement_of(subjects, PREDICATE_TYPE, {"resources": resources, "serialization": serialization})


def root_digest(digests: Iterable[str]) -> str:
    """The digest of all files: that of their digests, in the order in which the statement has them."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()


def read_model_statement(payload: bytes) -> tuple[str, dict[str, str]]:
    """The subject, and the digest of each file by name. Raises NotAModel."""
    try:
        statement: Any = read_json(payload)
        return _subject_and_files(statement)
    except NotAModel:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise NotAModel(f"its content has the wrong shape ({error})") from error


def _subject_and_files(statement: Any) -> tuple[str, dict[str, str]]:
    if statement["_type"] != STATEMENT_TYPE or statement["predicateType"] != PREDICATE_TYPE:
        raise NotAModel("its content is no statement of OpenSSF Model Signing 1.0")
    [subject] = statement["subject"]
    serialization = statement["predicate"]["serialization"]
    if {name: serialization[name] for name in METHOD} != METHOD:
        raise NotAModel("its digests are not the SHA-256 of whole files")
    files = _files(statement["predicate"]["resources"])
    if subject["digest"] != {"sha256": root_digest(files.values())}:
        raise NotAModel("its digest of all files does not fit those of the files")
    if not isinstance(subject["name"], str):
        raise NotAModel("its subject has no name")
    return subject["name"], files


def _files(resources: Any) -> dict[str, str]:
    files: dict[str, str] = {}
    for resource in resources:
        name, sha256 = resource["name"], resource["digest"]
        if not isinstance(name, str):
            raise NotAModel("the name of one of its files is no text")
        if resource["algorithm"] != "sha256" or not SHA256.fullmatch(sha256):
            raise NotAModel("the digest of one of its files is not a SHA-256")
        if name in files:
            raise NotAModel("one of its files stands in it twice")
        files[name] = sha256
    return files
