"""A process that appends records until it has finished or is killed.

It has one thread for each key and prints one line for each acknowledged record.

python -m tests.contract.writer_process URL TOPIC COUNT KEY...
"""

import sys
import threading

from headgate.log.port import EventLog, Message
from tests.contract.logs import open_for_test


def append(log: EventLog, topic: str, key: str, count: int) -> None:
    for number in range(count):
        at = log.append(Message(topic, key.encode(), str(number).encode()))
        sys.stdout.write(f"{key} {number} {at.partition} {at.offset}\n")
        sys.stdout.flush()


def main(url: str, topic: str, count: str, *keys: str) -> None:
    log = open_for_test(url)
    threads = [threading.Thread(target=append, args=(log, topic, key, int(count))) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
