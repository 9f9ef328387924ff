"""Loads each new model in a side process first, so that a model that kills its process never kills the gateway."""

import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import IO

from services.gateway.sessions import ModelUnusable

TRIAL_SECONDS = 120.0
"""How long a model may take to load and to answer its warm-up call."""
EXTREMES_SECONDS = 5.0
"""How long a model is run on extreme values. What it has survived until then is enough."""
TRIAL_PROCESS = "services.gateway.loading.trial_process"
IDLE_SECONDS = 20.0
"""The side process ends after this time without a model, so that it does not hold memory for nothing."""
END_SECONDS = 1.0
"""How long a process that closed its output may take to end."""
MAX_ANSWER_BYTES = 64 * 1024
LENGTH = struct.Struct(">Q")


class Trials:
    """A trial for each thread that loads, so that a model that hangs in one delays no load of another thread."""

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._all: list[Trial] = []

    def __call__(self, onnx_bytes: bytes) -> None:
        """Raises ModelUnusable, as a trial does."""
        trial: Trial | None = getattr(self._of_thread, "trial", None)
        if trial is None:
            trial = self._of_thread.trial = Trial()
            self._all.append(trial)
        trial(onnx_bytes)

    def close(self) -> None:
        """Ends all side processes."""
        for trial in self._all:
            trial.close()


class Trial:
    """Starts the side process when it is needed. The process ends by itself when it has nothing to do.

    Use it from one thread: the side process ends when this thread ends.
    """

    def __init__(self, timeout_seconds: float = TRIAL_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, onnx_bytes: bytes) -> None:
        """Loads the model in the side process and runs it there, also on extreme values.

        Raises ModelUnusable with the reason when it fails to load, and when it ends the process.
        """
        if not onnx_bytes:
            raise ModelUnusable("the model's file is empty")
        self._require_extremes(self._load(onnx_bytes))

    def _load(self, onnx_bytes: bytes) -> "subprocess.Popen[bytes]":
        """Loads the model. Returns the process that has it."""
        process = self._running()
        answer = self._send(process, onnx_bytes)
        if answer is None and _exit_code(process) == 0:
            # The process ended by itself just before it got the model.
            process = self._running()
            answer = self._send(process, onnx_bytes)
        if answer is None:
            reason = self._failure_reason(process)
            self.close()
            raise ModelUnusable(reason)
        if error := json.loads(answer)["error"]:
            raise ModelUnusable(error)
        return process

    def _require_extremes(self, process: "subprocess.Popen[bytes]") -> None:
        """Runs the loaded model on extreme values. Refuses it when a signal of its own ends the process."""
        if self._send(process, b"", EXTREMES_SECONDS) is not None:
            return
        code = _exit_code(process)
        self.close()
        if code is not None and code < 0 and -code != signal.SIGKILL:  # this one comes from outside, for want of memory
            raise ModelUnusable(
                f"the model ended a side process with {signal.Signals(-code).name} on extreme values of its inputs"
                " (the lowest number, -1, 0, NaN, infinity), so any caller could end the gateway;"
                " limit such values in the network, for example with torch.clamp"
            )

    def close(self) -> None:
        """Ends the side process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            with process:  # closes its pipes and waits for its end
                process.kill()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        command = [sys.executable, "-P", "-m", TRIAL_PROCESS, str(os.getpid()), str(IDLE_SECONDS)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)  # a process that does not read must not block this thread
        return self._process

    def _send(
        self, process: "subprocess.Popen[bytes]", onnx_bytes: bytes, timeout_seconds: float | None = None
    ) -> bytes | None:
        """The answer as JSON, or None when the process ended or took too long."""
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + (self._timeout_seconds if timeout_seconds is None else timeout_seconds)
        sent = all(_write(process.stdin, part, deadline) for part in (LENGTH.pack(len(onnx_bytes)), onnx_bytes))
        return _read_line(process.stdout, deadline) if sent else None

    def _failure_reason(self, process: "subprocess.Popen[bytes]") -> str:
        """Why the process gave no answer."""
        code = _exit_code(process)
        if code is None:
            return f"the model took longer than {self._timeout_seconds:g} s to load and to answer its first call"
        how = f"with {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"the model ended a side process {how} in its first call"


def _exit_code(process: "subprocess.Popen[bytes]") -> int | None:
    """The exit code of the process, negative for a signal. None while it still runs."""
    try:
        return process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _write(stdin: IO[bytes], part: bytes, deadline: float) -> bool:
    """Whether the process took the whole part before the deadline."""
    left = memoryview(part)
    try:
        while left:
            if not select.select([], [stdin], [], max(0.0, deadline - time.monotonic()))[1]:
                return False
            left = left[stdin.write(left) or 0 :]
    except BrokenPipeError:
        return False
    return True


def _read_line(stdout: IO[bytes], deadline: float) -> bytes | None:
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stdout], [], [], left)[0]:
            return None
        part = os.read(stdout.fileno(), MAX_ANSWER_BYTES)
        if not part:
            return None
        line += part
    return line
