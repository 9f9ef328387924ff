"""A process that answers each line on its standard input with one line of JSON, such as a peer of a measurement."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Answer = dict[str, Any]


class LineProcess:
    def __init__(self, command: Sequence[str | Path]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def read(self) -> Answer:
        """The next line that it writes. Raises RuntimeError when it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with exit code {self._process.wait()}")
        answer: Answer = json.loads(line)
        return answer

    def ask(self, line: object) -> Answer:
        """What it answers to this line."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        return self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
