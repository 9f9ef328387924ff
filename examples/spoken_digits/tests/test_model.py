"""Tests that a commit must pass before it is trained."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import model
import voice

Parts = dict[str, tuple[dict[str, torch.Tensor], torch.Tensor]]
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def context() -> SimpleNamespace:
    config = tomllib.loads((ROOT / "headgate.toml").read_text())
    return SimpleNamespace(
        data={name: ROOT / file["uri"] for name, file in config["data"].items()},
        seed=config["train"]["seed"],
        parameters=config["parameters"],
    )


@pytest.fixture(scope="module")
def parts(context: SimpleNamespace) -> Parts:
    return model.datasets(context)


def test_every_part_has_each_digit_equally_often(
    parts: dict[str, tuple[dict[str, torch.Tensor], torch.Tensor]],
) -> None:
    for name, (_, digits) in parts.items():
        assert digits.bincount().tolist() == [2 * len(model.SPEAKERS[name])] * 10


def test_no_speaker_is_heard_in_two_parts() -> None:
    speakers = [speaker for those in model.SPEAKERS.values() for speaker in those]
    assert sorted(speakers) == list(range(20))


def test_a_line_always_gives_the_same_samples(context: SimpleNamespace) -> None:
    line = np.loadtxt(context.data["clips"], delimiter=",", skiprows=1)[0]
    assert voice.clip(line).dtype == np.int16
    assert np.array_equal(voice.clip(line), voice.clip(line))


def test_the_spectrogram_of_a_tone_is_loudest_in_the_band_of_its_frequency() -> None:
    spectrogram = model.Spectrogram()
    for tone_hz in (300, 1_000, 2_500):
        samples = torch.sin(2 * torch.pi * tone_hz / voice.RATE_HZ * torch.arange(voice.SAMPLES)) * 10_000
        loudest = spectrogram(samples.short().unsqueeze(0)).mean(dim=2).argmax().item()
        expected = model.mel_bands()[:, round(tone_hz * model.WINDOW / voice.RATE_HZ)].argmax().item()
        assert abs(loudest - expected) <= 1


def test_clips_of_any_length_get_ten_logits(context: SimpleNamespace) -> None:
    network = model.network(context)
    for samples in (1_600, 3_200, 5_001):
        audio = torch.randint(-1_000, 1_000, (2, samples), dtype=torch.int16)
        with torch.no_grad():
            assert network(audio).shape == (2, 10)
