"""The line of each key of a TOML file, whatever way of writing its author has chosen."""

import tomllib

from headgate.toml_lines import line_of, lines_of

TEXT = '''# c = 1
a = 1
"b c".d = """
x = 3
[no]
"""
[train]   # the [table]
loss = "x" # y
list = [
  1, # [
  { z = 2 },
]
[[steps]]
w = 1
[steps.more]
q = '[['
[[steps]]
w = 2
[x.'y.z'.k]
v = {a = 1}
end = 5'''

LINES = {
    ("a",): 2,
    ("b c", "d"): 3,
    ("train",): 7,
    ("train", "loss"): 8,
    ("train", "list"): 9,
    ("steps", 0, "w"): 14,
    ("steps", 0, "more", "q"): 16,
    ("steps", 1): 17,
    ("steps", 1, "w"): 18,
    ("x", "y.z", "k", "v"): 20,
    ("x", "y.z", "k", "end"): 21,
}


def test_each_key_has_its_line() -> None:
    assert tomllib.loads(TEXT)["steps"][1]["w"] == 2
    found = lines_of(TEXT)
    assert {path: found[path] for path in LINES} == LINES
    assert ("no",) not in found


def test_what_is_not_written_has_the_line_of_the_table_around_it() -> None:
    found = lines_of(TEXT)
    assert line_of(("train", "epochs"), found) == 7
    assert line_of(("x", "y.z", "k", "v", "a"), found) == 20
    assert line_of(("nowhere",), found) == 0
