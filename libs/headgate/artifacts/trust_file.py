"""trusted/trust.toml: since when and until when a key is trusted, for which models, and whether it is revoked.

A table for each key, under its id. A key without a table is trusted for all models and times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from headgate.artifacts.key_files import KeyUnusable
from headgate.domain.bounds import covers
from headgate.domain.names import is_model_name
from headgate.domain.words import listed, rfc3339
from headgate.toml_tables import InvalidToml, Table, read

TRUST_FILE = "trust.toml"
MAX_BYTES = 1 << 20
MAX_SHOWN_MODELS = 3
MODEL_RULE = "a list of models, each as * or fraud or fraud-* or risk.*"
TIME_RULE = "a time with its offset, as 2026-01-31T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times in milliseconds since 1970; None sets no bound."""

    not_before_ms: int | None = None
    not_after_ms: int | None = None
    models: tuple[str, ...] = ("*",)
    revoked: str = ""
    """Why the key is revoked. Empty for one that is not."""

    def refusal(self, model: str, signed_at_ms: int) -> str:
        """Why the key does not count for a model that was signed then; empty when it does.

        With 0 nobody knows when it was signed: the record is older than these bounds.
        """
        if self.revoked:
            return f"is revoked: {self.revoked}"
        if signed_at_ms and self.not_before_ms is not None and signed_at_ms < self.not_before_ms:
            return f"is trusted from {rfc3339(self.not_before_ms)} on, and this was signed at {rfc3339(signed_at_ms)}"
        if signed_at_ms and self.not_after_ms is not None and signed_at_ms > self.not_after_ms:
            return f"is trusted until {rfc3339(self.not_after_ms)}, and this was signed at {rfc3339(signed_at_ms)}"
        if not any(covers(bound, model) for bound in self.models):
            models = listed(self.models, MAX_SHOWN_MODELS) if self.models else "no model"
            return f"is trusted for {models}, not for {model}"
        return ""


NO_BOUNDS = Bounds()


def read_bounds(file: Path) -> Mapping[str, Bounds]:
    """The bounds by key id; none without the file. Raises KeyUnusable with every problem."""
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KeyUnusable(f"{file} cannot be read: {error.strerror}") from error
    return bounds_in(text, file)


def bounds_in(text: bytes | str, file: Path) -> Mapping[str, Bounds]:
    """The bounds in the text of this file. Raises KeyUnusable with every problem."""
    try:
        root = read(text.encode() if isinstance(text, str) else text, TRUST_FILE, MAX_BYTES)
        found = {key: _bounds(root.table(key)) for key in root.values}
        root.refuse_problems()
    except InvalidToml as error:
        raise KeyUnusable(f"{file} is wrong: {'; '.join(error.problems)}") from error
    return found


def trust_text(bounds: Mapping[str, Bounds]) -> str:
    """The text of the file with these bounds."""
    return "\n".join(line for key in sorted(bounds) for line in _lines(key, bounds[key]))


def _bounds(table: Table) -> Bounds:
    table.no_more(("not_before", "not_after", "models", "revoked"))
    models = table.value("models", MODEL_RULE, _are_models, ["*"])
    revoked = table.text("revoked") if "revoked" in table.values else ""
    return Bounds(_time(table, "not_before"), _time(table, "not_after"), tuple(models or ()), revoked or "")


def _time(table: Table, key: str) -> int | None:
    found = table.value(key, TIME_RULE, lambda value: isinstance(value, datetime) and value.tzinfo is not None, None)
    return None if found is None else round(found.timestamp() * 1000)


def _are_models(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and _is_bound(each) for each in value)


def _is_bound(text: str) -> bool:
    return text == "*" or is_model_name(text) or (text.endswith("*") and is_model_name(f"{text[:-1]}a"))


def _lines(key: str, bounds: Bounds) -> list[str]:
    times = {"not_before": bounds.not_before_ms, "not_after": bounds.not_after_ms}
    lines = [f"[{key}]", *(f"{name} = {rfc3339(at_ms)}" for name, at_ms in times.items() if at_ms is not None)]
    if bounds.models != NO_BOUNDS.models:
        lines.append(f"models = [{', '.join(map(quoted, bounds.models))}]")
    if bounds.revoked:
        lines.append(f"revoked = {quoted(bounds.revoked)}")
    return [*lines, ""]


def quoted(value: str) -> str:
    """The text as TOML has it, on one line."""
    escaped = "".join(each if each.isprintable() and each not in '"\\' else f"\\U{ord(each):08x}" for each in value)
    return f'"{escaped}"'
