"""Records a history: python -m tests.histories NAME [LOG ABOUT [STREAM...]]

Without LOG, the story NAME of stories.py runs on a new log. With LOG, for example sqlite:///path/to/log.db, the history
has the records of that log: those of the given streams, or all. ABOUT is one sentence about what the history shows.
The file contains everything that is in the records. Check it for names and log lines that must not become public.
"""

import sys
import tempfile
from contextlib import closing
from pathlib import Path

from headgate.log.open import open_log
from tests.histories.history import FOLDER, write
from tests.histories.recorder import entries_of, new_recorder
from tests.histories.stories import STORIES


def main(name: str, url: str = "", about: str = "", *streams: str) -> None:
    path = FOLDER / f"{name}.jsonl"
    if url:
        with closing(open_log(url)) as log:
            write(path, about, entries_of(log, streams))
    else:
        record_story(name, path)
    print(path)


def record_story(name: str, path: Path) -> None:
    """Runs a story on a new log and writes its history."""
    story = STORIES[name]
    with tempfile.TemporaryDirectory() as folder, new_recorder(Path(folder)) as (recorder, log):
        story(recorder)
        write(path, (story.__doc__ or name).strip(), entries_of(log))


if __name__ == "__main__":
    main(*sys.argv[1:])
