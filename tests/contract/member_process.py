"""A process that joins a group and prints the values of its records until it is killed. It commits nothing.

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
