"""`make demo` takes a model from a commit to live traffic and back, in four stories, on this machine.

Training, requests and the judge are real. Only the steps of the releases are short; demo_policy.toml sets them. The
demo exits with 0 when all four stories end as expected and a replay of the log gives the live state.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from examples.driver import (
    ENVIRONMENT,
    Facts,
    Repository,
    Running,
    Traffic,
    UnexpectedResult,
    read_rows,
)
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.client.timeline import describe, metrics_line, weights_line
from headgate.jail.decision import TRUSTED_SETTING
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service

EXAMPLES = Path(__file__).resolve().parent
MODEL = "breast-cancer"
STREAM = f"models/{MODEL}"
REQUESTS_PER_SECOND = 150.0
VERDICT_SECONDS = 300.0
RELEASE_SECONDS = 180.0
SETTLE_SECONDS = 2.0

QUIET = {"testing_started", "training_started", "evaluation_started", "candidate_ready", "evaluation_finished"}
"""Facts that the timeline leaves out, so that it is easy to read."""


def main() -> int:
    folder = EXAMPLES.parent / ".demo"
    if (folder / ".headgate" / "lock").exists() and is_locked(folder / ".headgate" / "lock"):
        print(f"A demo already runs in {folder}.")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        run_stories(folder)
    except UnexpectedResult as error:
        print(f"\nNOT AS EXPECTED: {error}\nThe logs are in {folder / '.headgate' / 'logs'}")
        return 1
    print("\nAll four stories ended as expected.")
    return 0


def run_stories(folder: Path) -> None:
    """Runs the whole demo in a folder. Raises UnexpectedResult."""
    print("Starting Headgate: registry, trainer, evaluator, deployer, gateway and portal over one log.")
    print("Every port speaks TLS and asks for a token.")
    # Where the machine has no jail for the code of commits, these are trusted, because they are Headgate's own.
    with Running(folder, settings={TRUSTED_SETTING: f"{folder}/"}) as running:
        running.command("environment", "set-policy", ENVIRONMENT, str(EXAMPLES / "demo_policy.toml"))
        stories = Stories(running, folder)
        try:
            stories.first_goes_live()
            stories.better_is_promoted()
            stories.worse_is_refused()
            stories.blind_spot_is_rolled_back()
        finally:
            stories.close()
        stories.check_traffic()
        heading("Replay: folding the log again gives the live state")
        print(running.command("replay").strip() + ": equal to the live state, byte for byte")


class Stories:
    """Four commits, and what happens to each."""

    def __init__(self, running: Running, folder: Path) -> None:
        self._running = running
        example = EXAMPLES / "breast_cancer"
        self._repository = Repository(folder / "repository", example)
        self.traffic = Traffic(
            running.stubs, MODEL, read_rows(example / "data" / "breast_cancer.csv"), REQUESTS_PER_SECOND
        )
        self._began = time.monotonic()
        self._facts = Facts(running.stubs, STREAM, self._show)

    def close(self) -> None:
        self.traffic.stop()
        self._facts.close()

    def first_goes_live(self) -> None:
        heading("Story 1: the first version goes live")
        self._publish("1-first")
        self._expect_verdict(1, passed=True)
        self._expect_end(1, "release_completed")
        self._expect_live(1)
        print(f"A client now sends {REQUESTS_PER_SECOND:.0f} rows a second. About 8 % of them lack a measurement.")
        self.traffic.start()

    def better_is_promoted(self) -> None:
        heading("Story 2: a better version is released as a canary and promoted")
        before = self.traffic.counts()
        self._publish("2-better")
        self._expect_verdict(2, passed=True)
        self._expect_end(2, "release_completed")
        self._expect_live(2)
        self._show_shares(before)

    def worse_is_refused(self) -> None:
        heading("Story 3: the gate refuses a worse version")
        before = self.traffic.counts()
        self._publish("3-worse")
        self._expect_verdict(3, passed=False)
        # Nothing may follow the refusal, so a wrong release gets the time to happen.
        time.sleep(SETTLE_SECONDS)
        self._expect_live(2)
        if any(record.release_requested.candidate == 3 for record in self._facts.records):
            raise UnexpectedResult("v3 was released although the gate refused it")
        self._show_shares(before)

    def blind_spot_is_rolled_back(self) -> None:
        heading("Story 4: a version passes the gate, fails on live traffic and is rolled back")
        before = self.traffic.counts()
        self._publish("4-blind-spot")
        self._expect_verdict(4, passed=True)
        self._expect_end(4, "release_rolled_back")
        self._expect_live(2)
        self._show_shares(before)
        print(f"v4 gave {self.traffic.bad[4]} answers that were not a number before it was rolled back.")
        if not self.traffic.bad[4]:
            raise UnexpectedResult("v4 gave no bad answer")

    def check_traffic(self) -> None:
        """Checks that no call failed, and that only v4 gave answers that are not a number."""
        answered = sum(self.traffic.answered.values())
        failed = dict(self.traffic.failed)
        print(f"\n{answered} requests answered in all, {sum(failed.values())} failed.")
        if failed:
            raise UnexpectedResult(f"calls failed: {failed}")
        if set(+self.traffic.bad) != {4}:
            raise UnexpectedResult(f"bad answers by version: {dict(self.traffic.bad)}")

    def _publish(self, overlay: str) -> None:
        message = self._repository.commit(overlay)
        print(f'$ git commit -m "{message}" && headgate publish repository')
        self._running.command("publish", "repository")

    def _expect_verdict(self, version: int, passed: bool) -> None:
        def is_end(record: facts.LifecycleRecord) -> bool:
            tests_failed = record.code_tested.version == version and not record.code_tested.passed
            failed = version in (record.training_failed.version, record.evaluation_failed.version)
            return tests_failed or failed or record.gate_decided.version == version

        record = self._facts.wait(is_end, f"the gate's verdict on v{version}", VERDICT_SECONDS)
        if not record.HasField("gate_decided") or record.gate_decided.passed != passed:
            raise UnexpectedResult(f"v{version} should {'pass' if passed else 'be refused'}: {describe(record)}")
        decided = record.gate_decided
        print(f"{'':8}v{version}: {metrics_line(decided.metrics)}")
        if decided.baseline_version:
            print(f"{'':8}v{decided.baseline_version}: {metrics_line(decided.baseline_metrics)}  (live, same rows)")

    def _expect_end(self, candidate: int, kind: str) -> None:
        requested = self._facts.wait(
            lambda record: record.release_requested.candidate == candidate,
            f"a release of v{candidate}",
            RELEASE_SECONDS,
        )
        release = requested.release_requested.release
        ended = self._facts.wait(
            lambda record: ended_release(record) == release, f"the end of the release of v{candidate}", RELEASE_SECONDS
        )
        if ended.WhichOneof("fact") != kind:
            raise UnexpectedResult(f"the release of v{candidate}: {describe(ended)}")

    def _expect_live(self, version: int) -> None:
        stub = self._running.stubs.registry
        model = stub.GetModel(registry_service.GetModelRequest(name=STREAM), timeout=TIMEOUT_SECONDS)
        if model.live.get(ENVIRONMENT) != version:
            raise UnexpectedResult(f"v{version} should be live, but {dict(model.live)} is")

    def _show_shares(self, before: Counter[tuple[str, int]]) -> None:
        """Prints, for each set of weights, which versions answered. The client counted them."""
        seen = self.traffic.counts() - before
        print(f"{'':8}{'weights':24} versions that answered the client")
        for weights in sorted(dict.fromkeys(weights for weights, _ in seen), key=lambda weights: not weights):
            counts = {version: count for (at, version), count in sorted(seen.items()) if at == weights}
            total = sum(counts.values())
            shares = ", ".join(f"v{version} {count / total:.1%} ({count})" for version, count in counts.items())
            print(f"{'':8}{weights or 'during a change':24} {shares}")

    def _show(self, record: facts.LifecycleRecord) -> None:
        """Prints one line for a fact. The client counts its answers under the weights that the fact sets."""
        kind = record.WhichOneof("fact") or ""
        if kind in ("weights_set", "promotion_started", "rollback_started"):
            self._pending = weights_line(getattr(record, kind).weights)
            self.traffic.weights = ""
        elif kind == "weights_applied":
            self.traffic.weights = self._pending
        if kind not in QUIET:
            print(f"{time.monotonic() - self._began:6.1f} s  {describe(record)}", flush=True)

    _pending = ""


def ended_release(record: facts.LifecycleRecord) -> int:
    """The release that this fact ends or pauses; 0 for any other fact."""
    kind = record.WhichOneof("fact") or ""
    ends = ("release_completed", "release_rolled_back", "release_rejected", "release_superseded", "release_paused")
    return int(getattr(record, kind).release) if kind in ends else 0


def is_locked(file: Path) -> bool:
    """Whether a running `headgate up` holds the folder's lock."""
    with file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
