"""Which digit is spoken: sound in, ten logits out. The spectrogram is computed inside the network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import voice

WINDOW = 256
HOP = 128
BANDS = 24
LOWEST_HZ = 100.0
QUIET = 1e-3
"""Added to the power of each band, so that silence has a logarithm."""

# Nobody is heard in two parts: a speaker of the test is new to the network.
SPEAKERS = {"train": range(12), "validation": range(12, 15), "test": range(15, 20)}


def network(context: Any) -> nn.Module:
    return Listener(context.parameters["channels"])


def datasets(context: Any) -> dict[str, tuple[dict[str, Tensor], Tensor]]:
    clips = np.loadtxt(Path(context.data["clips"]), delimiter=",", skiprows=1)
    audio = torch.from_numpy(np.stack([voice.clip(line) for line in clips]))
    speakers, digits = torch.from_numpy(clips[:, :2]).long().unbind(1)
    rows = {name: torch.isin(speakers, torch.tensor(those)) for name, those in SPEAKERS.items()}
    return {name: ({"audio": audio[those]}, digits[those]) for name, those in rows.items()}


class Listener(nn.Module):
    """Takes 16-bit samples of any length, at 8 kHz."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spectrogram = Spectrogram()
        self.layers = nn.Sequential(
            nn.Conv1d(BANDS, channels, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2, ceil_mode=True),
            nn.Conv1d(channels, channels, 5, padding=2),
            nn.ReLU(),
        )
        self.digits = nn.Linear(2 * channels, 10)

    def forward(self, audio: Tensor) -> Tensor:
        heard = self.layers(self.spectrogram(audio))
        return self.digits(torch.cat([heard.mean(dim=2), heard.amax(dim=2)], dim=1))


class Spectrogram(nn.Module):
    """The power in bands of the mel scale, as logarithms around their mean over the clip.

    The short-time Fourier transform is a convolution with the windowed sine and cosine waves of each frequency.
    """

    def __init__(self) -> None:
        super().__init__()
        times, frequencies = torch.arange(WINDOW), torch.arange(WINDOW // 2 + 1)
        angles = 2 * math.pi / WINDOW * torch.outer(frequencies, times).double()
        waves = torch.cat([angles.cos(), angles.sin()]) * torch.hann_window(WINDOW, dtype=torch.float64)
        self.register_buffer("waves", waves.float().unsqueeze(1))
        self.register_buffer("bands", mel_bands().float())

    def forward(self, audio: Tensor) -> Tensor:
        samples = audio.float().unsqueeze(1) / 32768
        parts = nn.functional.conv1d(samples, self.waves, stride=HOP, padding=WINDOW // 2)
        cosine, sine = parts.square().chunk(2, dim=1)
        loudness = (self.bands @ (cosine + sine) + QUIET).log()
        return loudness - loudness.mean(dim=(1, 2), keepdim=True)


def mel_bands() -> Tensor:
    """How much each frequency counts for each band: triangles whose edges have equal distances on the mel scale."""
    edges = torch.linspace(mel(LOWEST_HZ), mel(voice.RATE_HZ / 2), BANDS + 2, dtype=torch.float64)
    edges_hz = (700 * (10 ** (edges / 2595) - 1)).unsqueeze(1)
    frequencies = torch.arange(WINDOW // 2 + 1) * voice.RATE_HZ / WINDOW
    left, middle, right = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising, falling = (frequencies - left) / (middle - left), (right - frequencies) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0)


def mel(frequency_hz: float) -> float:
    return 2595 * math.log10(1 + frequency_hz / 700)
