"""The clock of a host decides nothing that another host sees: few files read it, each for a reason."""

import re

from tests.house.tree import short, sources

WALL_CLOCK = re.compile(r"runtime\.clock import|time\.time\(|time_ns\(|datetime\.(now|utcnow|today)\(")
READERS = {
    "libs/headgate/runtime/clock.py": "reads it",
    "libs/headgate/log/sqlite/host_clock.py": "sets an embedded log when nobody has it open",
    "libs/headgate/telemetry/topic.py": "lets others see the skew of the writer's host",
    "libs/headgate/telemetry/clock_watch.py": "compares it with the log's time",
    "libs/headgate/dead_letters/burials.py": "notes it in a letter, whose readers use the time of the record",
    "libs/headgate/client/log_time.py": "shows it while the registry does not answer",
    "libs/headgate/cli/clocks.py": "counts --since from it in a log that no service has used",
    "services/trainer/check.py": "runs an attempt without a log, which nobody else sees",
    "services/gateway/repository.py": "shows clients of Triton when a version last answered",
    "libs/headgate/cli/own_certificates.py": "renews what ends soon, as every reader of it decides",
    "libs/headgate/client/login.py": "renews a token before it ends, and the provider counts from its answer",
    "libs/headgate/cli/login.py": "notes when the token ends",
    "libs/headgate/cli/doctor_access.py": "says which certificates have ended, as every reader of them decides",
    "libs/headgate/cli/certificates.py": "says from when to when a certificate holds, as every reader of it decides",
    "libs/headgate/runtime/tls.py": "says that its certificate has ended, as callers say by their clocks",
    "libs/headgate/client/tls.py": "says that its certificate has ended, as servers say by their clocks",
    "libs/headgate/cli/publish.py": "notes in an event when it was published",
}


def test_only_these_files_read_the_clock_of_the_host() -> None:
    assert {short(path) for path in sources() if WALL_CLOCK.search(path.read_text())} == set(READERS)
