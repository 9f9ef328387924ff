"""The tree of causes as pages read it, kept by the last fact of its stream: a page that is made again reads no log."""

import threading
from collections import OrderedDict

from headgate.client.explanation import Cause, Explainer
from headgate.domain.names import in_words, model_stream
from headgate.lifecycle.moment import AtTime
from headgate.lifecycle.past import MAX_FACTS, FactsLimit, Past, Then

MAX_KEPT = 64
"""Trees that are kept, those asked for last."""
END_OF_TIME_MS = (1 << 63) - 1
"""The present: it includes every fact."""

Subject = tuple[str, str, int]
"""Model, `versions` or `releases`, and number; an empty kind and 0 for what the model serves."""


class Causes:
    """Explains what stood at a moment, as `RegistryService.Explain` does. Thread-safe."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Subject, int], Cause] = OrderedDict()

    def of(self, subject: Subject, until_ms: int = END_OF_TIME_MS) -> Cause | None:
        """The tree; None where the subject was not there then. Raises LogError and FactsLimit."""
        then = self._past.at(AtTime(until_ms))
        sequence = then.sequence(model_stream(subject[0]))
        with self._lock:
            if (found := self._kept.get((subject, sequence))) is not None:
                self._kept.move_to_end((subject, sequence))
                return found
        made = self._made(subject, then, sequence)
        if made is not None:
            self._keep((subject, sequence), made)
        return made

    def _made(self, subject: Subject, then: Then, sequence: int) -> Cause | None:
        model, kind, number = subject
        stream = model_stream(model)
        if sequence > MAX_FACTS:
            raise FactsLimit(f"{in_words(stream)} has more than {MAX_FACTS} facts")
        state = then.model(model)
        if state is None:
            return None
        if kind and number not in (state.versions if kind == "versions" else state.releases):
            return None
        explainer = Explainer(state, (found.record for found in self._past.records(stream, 0, sequence)))
        if kind:
            return explainer.version(number) if kind == "versions" else explainer.release(number)
        return explainer.serving()

    def _keep(self, key: tuple[Subject, int], made: Cause) -> None:
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
