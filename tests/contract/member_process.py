"""A process that joins a group, prints the values it gets and commits nothing, until it is killed.

python -m tests.contract.member_process URL TOPIC GROUP MEMBER
"""

import sys

from tests.contract.logs import open_for_test


def main(url: str, topic: str, group: str, member: str) -> None:
    with open_for_test(url).consumer(topic, group, member) as consumer:
        while True:
            for record in consumer.poll(1.0):
                sys.stdout.write((record.value or b"").decode() + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
