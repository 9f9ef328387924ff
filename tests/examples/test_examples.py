"""The examples match their READMEs. Nothing here trains a network or imports torch."""

from __future__ import annotations

import csv
import hashlib
import math
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_SECONDS

EXAMPLES = Path(__file__).parents[2] / "examples"
BREAST_CANCER = EXAMPLES / "breast_cancer"
FRAUD = EXAMPLES / "fraud"
REGRESSION = EXAMPLES / "regression"
SPOKEN_DIGITS = EXAMPLES / "spoken_digits"
ALL = sorted(folder.parent for folder in EXAMPLES.glob("*/commits"))
OVERLAYS = sorted(folder for example in ALL for folder in (example / "commits").iterdir())
GENERATED = [
    FRAUD / "data" / "transactions.csv",
    REGRESSION / "data" / "squares.csv",
    SPOKEN_DIGITS / "data" / "clips.csv",
    EXAMPLES / "reviews" / "data" / "reviews.csv",
]


def name(folder: Path) -> str:
    return str(folder.relative_to(EXAMPLES))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("config", sorted(EXAMPLES.glob("*/**/headgate.toml")), ids=name)
def test_every_configuration_names_its_data_by_the_right_digest(config: Path) -> None:
    example = EXAMPLES / config.relative_to(EXAMPLES).parts[0]
    data = tomllib.loads(config.read_text())["data"]
    assert data
    for file in data.values():
        assert hashlib.sha256((example / file["uri"]).read_bytes()).hexdigest() == file["sha256"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=name)
def test_a_commit_has_a_message_of_one_line_and_only_files_that_differ_from_the_base(overlay: Path) -> None:
    message = (overlay / "MESSAGE").read_text()
    assert message.endswith("\n")
    assert message.count("\n") == 1
    assert len(message) <= 72
    for file in overlay.rglob("*"):
        if file.is_file() and file.name != "MESSAGE" and "__pycache__" not in file.parts:
            base = overlay.parents[1] / file.relative_to(overlay)
            assert file.read_bytes() != base.read_bytes()


def test_all_commits_of_an_example_have_the_same_gate_and_metrics() -> None:
    for example in ALL:
        configs = [tomllib.loads(path.read_text()) for path in example.rglob("headgate.toml")]
        assert all(config["gate"] == configs[0]["gate"] for config in configs)
        assert all(config["evaluate"] == configs[0]["evaluate"] for config in configs)


def test_the_breast_cancer_data_are_569_complete_samples_of_which_212_are_malignant() -> None:
    samples = read(BREAST_CANCER / "data" / "breast_cancer.csv")
    assert len(samples) == 569
    assert sum(sample["malignant"] == "1" for sample in samples) == 212
    assert all(len(sample) == 31 and all(sample.values()) for sample in samples)


def test_the_fraud_data_are_1000_transactions_of_which_300_are_fraudulent() -> None:
    transactions = read(FRAUD / "data" / "transactions.csv")
    assert len(transactions) == 1000
    assert sum(transaction["fraud"] == "1" for transaction in transactions) == 300


@pytest.mark.parametrize("data", GENERATED, ids=name)
def test_the_generator_draws_the_committed_data_byte_for_byte(data: Path, tmp_path: Path) -> None:
    drawn = tmp_path / data.name
    generator = data.parents[1] / "generate.py"
    subprocess.run([sys.executable, generator, drawn], check=True, timeout=PATIENCE_SECONDS)
    assert drawn.read_bytes() == data.read_bytes()


def test_another_seed_draws_other_transactions_with_as_many_frauds(tmp_path: Path) -> None:
    drawn = tmp_path / "transactions.csv"
    subprocess.run([sys.executable, FRAUD / "generate.py", drawn, "--seed", "3"], check=True, timeout=PATIENCE_SECONDS)
    assert drawn.read_bytes() != (FRAUD / "data" / "transactions.csv").read_bytes()
    assert sum(transaction["fraud"] == "1" for transaction in read(drawn)) == 300


def test_the_regression_data_are_the_squares_of_400_different_numbers() -> None:
    points = read(REGRESSION / "data" / "squares.csv")
    assert len({point["x"] for point in points}) == 400
    assert all(math.isclose(float(point["x"]) ** 2, float(point["y"]), abs_tol=1e-8) for point in points)


def test_about_half_of_the_800_reviews_are_content() -> None:
    reviews = read(EXAMPLES / "reviews" / "data" / "reviews.csv")
    assert len(reviews) == 800
    assert 360 <= sum(review["content"] == "1" for review in reviews) <= 440


def test_each_of_20_speakers_says_each_digit_twice() -> None:
    clips = read(SPOKEN_DIGITS / "data" / "clips.csv")
    said = Counter((clip["speaker"], clip["digit"]) for clip in clips)
    assert said == {(str(speaker), str(digit)): 2 for speaker in range(20) for digit in range(10)}


def test_no_single_column_gives_a_fraud_away() -> None:
    transactions = read(FRAUD / "data" / "transactions.csv")
    for column in transactions[0].keys() - {"fraud"}:
        fraudulent = [float(row[column]) for row in transactions if row["fraud"] == "1"]
        genuine = [float(row[column]) for row in transactions if row["fraud"] == "0"]
        area = area_under_the_curve(fraudulent, genuine)
        assert max(area, 1 - area) < 0.9, column


def area_under_the_curve(positive: list[float], negative: list[float]) -> float:
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    return wins / (len(positive) * len(negative))
