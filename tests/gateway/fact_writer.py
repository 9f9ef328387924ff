"""Writes facts to headgate.lifecycle, chained as the registry does it, but without checking any rule."""

from headgate.lifecycle.stream import message_of, new_stream, record_of
from headgate.v1 import commands_pb2 as commands


class FactWriter:
    def __init__(self, log, stream):
        self._log = log
        self._stream = new_stream(stream)

    def write(self, *written):
        """Writes the facts and returns the sequence of the last one."""
        for fact in written:
            number = self._stream.sequence + 1
            command = commands.Command(command_id=f"command-{number}", stream=self._stream.name, actor="test")
            record = record_of(command, fact, self._stream, at_ms=number)
            message = message_of(record)
            position = self._log.append(message)
            self._stream.accept(record, message.value, position.partition, position.offset)
        return self._stream.sequence
