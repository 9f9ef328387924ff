"""Consumer groups on SQLite: their members, the partitions of each member, and the committed offsets.

Every function that writes runs inside a transaction of the writer. A share has in `since` the generation in which its
member got it. So a member that lost a partition and got it back cannot commit records that it read before.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headgate.log.port import StaleMember


class Membership(NamedTuple):
    """One consumer. `incarnation` distinguishes processes that join under the same member name."""

    topic_id: int
    group: str
    member: str
    incarnation: str
    session_ms: int


class Share(NamedTuple):
    """A partition of a member: the generation in which the member got it, and the next offset to read."""

    since: int
    next_offset: int


class View(NamedTuple):
    """The state of a group for one member. `incarnation` is None when the group has dropped the member."""

    generation: int
    incarnation: str | None


def join(db: sqlite3.Connection, me: Membership, partitions: int, now_ms: int) -> None:
    """Adds the member. If the name is already a member, it keeps its partitions and gets the new incarnation."""
    db.execute("INSERT OR IGNORE INTO groups VALUES (?, ?, 0)", me[:2])
    db.executemany(
        "INSERT OR IGNORE INTO shares VALUES (?, ?, ?, NULL, 0, NULL)",
        [(*me[:2], number) for number in range(partitions)],
    )
    known = db.execute("SELECT 1 FROM members WHERE topic_id = ? AND group_name = ? AND member = ?", me[:3]).fetchone()
    db.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?)", (*me[:4], now_ms))
    if _expire(db, me, now_ms) or not known:
        _share_out(db, me)


def heartbeat(db: sqlite3.Connection, me: Membership, now_ms: int) -> bool:
    """Renews the member's heartbeat and drops members whose heartbeat is too old. Returns whether it dropped any.

    Raises StaleMember.
    """
    changed = db.execute(
        "UPDATE members SET heartbeat_ms = ? WHERE topic_id = ? AND group_name = ? AND member = ? AND incarnation = ?",
        (now_ms, *me[:4]),
    ).rowcount
    if not changed:
        raise StaleMember(f"{me.member} is no longer a member of {me.group}")
    has_dropped = _expire(db, me, now_ms)
    if has_dropped:
        _share_out(db, me)
    return has_dropped


def leave(db: sqlite3.Connection, me: Membership) -> None:
    """Removes the member, unless a newer incarnation has joined under its name."""
    gone = db.execute(
        "DELETE FROM members WHERE topic_id = ? AND group_name = ? AND member = ? AND incarnation = ?", me[:4]
    ).rowcount
    if gone:
        _share_out(db, me)


def commit(db: sqlite3.Connection, me: Membership, done: Mapping[int, Share]) -> None:
    """Moves the group's offsets forward, never back. Raises StaleMember if the member has lost a partition."""
    if view(db, me).incarnation != me.incarnation:
        raise StaleMember(f"{me.member} is no longer a member of {me.group}")
    for partition, (since, next_offset) in done.items():
        changed = db.execute(
            "UPDATE shares SET next_offset = max(?, coalesce(next_offset, 0))"
            " WHERE topic_id = ? AND group_name = ? AND partition = ? AND member = ? AND since = ?",
            (next_offset, *me[:2], partition, me.member, since),
        ).rowcount
        if not changed:
            raise StaleMember(f"partition {partition} is no longer held by {me.member} of {me.group}")


def view(db: sqlite3.Connection, me: Membership) -> View:
    """The generation of the group, and the incarnation that holds the member's name now."""
    row = db.execute(
        "SELECT generation, incarnation FROM groups AS g LEFT JOIN members AS m"
        " ON m.topic_id = g.topic_id AND m.group_name = g.name AND m.member = ? WHERE g.topic_id = ? AND g.name = ?",
        (me.member, *me[:2]),
    ).fetchone()
    return View(*row) if row else View(0, None)


def shares(db: sqlite3.Connection, me: Membership) -> dict[int, Share]:
    """The partitions this member holds now."""
    rows = db.execute(
        "SELECT partition, since, coalesce(next_offset, 0) FROM shares"
        " WHERE topic_id = ? AND group_name = ? AND member = ? ORDER BY partition",
        me[:3],
    )
    return {partition: Share(since, next_offset) for partition, since, next_offset in rows}


def committed(db: sqlite3.Connection, topic_id: int, group: str) -> dict[int, int]:
    """For each partition with a commit, the offset that the group reads next."""
    rows = db.execute(
        "SELECT partition, next_offset FROM shares WHERE topic_id = ? AND group_name = ? AND next_offset IS NOT NULL",
        (topic_id, group),
    )
    return dict(rows.fetchall())


def _expire(db: sqlite3.Connection, me: Membership, now_ms: int) -> bool:
    """Drops members whose heartbeat is too old, or too far in the future after the clock was set back."""
    return bool(
        db.execute(
            "DELETE FROM members WHERE topic_id = ? AND group_name = ? AND abs(? - heartbeat_ms) > ?",
            (*me[:2], now_ms, me.session_ms),
        ).rowcount
    )


def _share_out(db: sqlite3.Connection, me: Membership) -> None:
    members = [row[0] for row in db.execute("SELECT member FROM members WHERE topic_id = ? AND group_name = ?", me[:2])]
    held = dict(
        db.execute("SELECT partition, member FROM shares WHERE topic_id = ? AND group_name = ?", me[:2]).fetchall()
    )
    generation = view(db, me).generation + 1
    db.execute("UPDATE groups SET generation = ? WHERE topic_id = ? AND name = ?", (generation, *me[:2]))
    db.executemany(
        "UPDATE shares SET member = ?, since = ? WHERE topic_id = ? AND group_name = ? AND partition = ?",
        [
            (member, generation, *me[:2], partition)
            for partition, member in balanced(held, members).items()
            if member != held[partition]
        ],
    )


def balanced(held: Mapping[int, str | None], members: Sequence[str]) -> dict[int, str | None]:
    """Assigns every partition to one member, in equal numbers, and moves as few as possible."""
    if not members:
        return dict.fromkeys(held)
    floor, larger_shares = divmod(len(held), len(members))
    counts = dict.fromkeys(sorted(members), 0)
    shared: dict[int, str | None] = {}
    for partition, member in sorted(held.items()):
        if member in counts and counts[member] < floor + (larger_shares > 0):
            larger_shares -= counts[member] == floor
            counts[member] += 1
            shared[partition] = member
    for partition in sorted(held.keys() - shared.keys()):
        member = min(counts, key=lambda name: counts[name])
        counts[member] += 1
        shared[partition] = member
    return shared
