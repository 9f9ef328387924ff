"""When log lines are written, and what happens to them on a full disk and at the end of the process."""

import logging
import threading
from collections.abc import Iterator

import pytest

from headgate.runtime.observability import line_writer
from headgate.runtime.observability.line_writer import LineWriter
from tests.waiting import PATIENCE_SECONDS, until


class Stream:
    """Records each text that is written, and the name of the thread that writes it."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str]] = []
        self.broken = False

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.writes)

    def write(self, text: str) -> None:
        if self.broken:
            raise OSError("no space left on device")
        self.writes.append((text, threading.current_thread().name))

    def flush(self) -> None:
        """Does nothing, because writes are recorded at once."""


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def log(stream: Stream) -> Iterator[logging.Logger]:
    logger = logging.Logger("test", logging.INFO)
    handler = LineWriter(stream)  # type: ignore[arg-type]
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_lines_are_written_soon_together_and_by_another_thread(log: logging.Logger, stream: Stream) -> None:
    for number in range(100):
        log.info("line %d", number)
    until(lambda: stream.text.endswith("line 99\n"))
    assert stream.text == "".join(f"line {number}\n" for number in range(100))
    assert {thread for _, thread in stream.writes} == {"log-lines"}
    assert len(stream.writes) < 50


def test_a_warning_is_written_at_once_after_all_earlier_lines(
    log: logging.Logger, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_writer, "GATHER_SECONDS", PATIENCE_SECONDS)
    log.info("before")
    log.warning("trouble")
    assert stream.text == "before\ntrouble\n"


def test_the_thread_that_reaches_the_limit_of_waiting_lines_writes_them(
    log: logging.Logger, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_writer, "GATHER_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(line_writer, "MAX_LINES", 3)
    for number in range(3):
        assert stream.text == ""
        log.info("line %d", number)
    assert stream.text == "line 0\nline 1\nline 2\n"


def test_the_last_lines_are_written_at_the_end(
    log: logging.Logger, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_writer, "GATHER_SECONDS", PATIENCE_SECONDS)
    log.info("last")
    log.handlers[0].close()
    log.info("after the last")
    assert stream.text == "last\nafter the last\n"


def test_an_error_of_the_stream_does_not_reach_the_caller(log: logging.Logger, stream: Stream) -> None:
    stream.broken = True
    log.error("lost")
    stream.broken = False
    log.error("kept")
    assert stream.text == "kept\n"


def test_a_record_that_cannot_be_formatted_does_not_lose_other_records(
    log: logging.Logger, stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            if record.msg == "odd":
                raise TypeError("no line")
            return super().format(record)

    log.handlers[0].setFormatter(Odd())
    log.info("before")
    log.warning("odd")
    log.warning("after")
    assert stream.text == "before\nafter\n"
    assert "TypeError: no line" in capsys.readouterr().err
