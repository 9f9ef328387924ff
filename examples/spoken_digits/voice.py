"""Makes sound of a line of data/clips.csv: a small formant synthesiser.

A voiced sound is a sum of the harmonics of the pitch, each as loud as the resonances of the vocal tract (the formants)
make it. A hissing sound is noise around one frequency. Between two sounds everything glides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RATE_HZ = 8_000
SAMPLES = 3_200
LARGEST = 32_767
BANDWIDTHS_HZ = (70.0, 100.0, 150.0)
HISSES = 24
"""Sine waves of random frequency and phase that make a hissing sound."""


@dataclass(frozen=True, slots=True)
class Sound:
    """How long it lasts, its formants, how loud its voice and its hiss are, and the middle of the hiss."""

    seconds: float
    formants_hz: tuple[float, float, float]
    voice: float = 1.0
    hiss: float = 0.0
    hiss_hz: float = 3_000.0


SOUNDS = {
    "a": Sound(0.10, (730, 1090, 2440)),
    "e": Sound(0.09, (400, 2050, 2600)),
    "E": Sound(0.07, (530, 1840, 2480)),
    "i": Sound(0.11, (270, 2290, 3010)),
    "I": Sound(0.06, (390, 1990, 2550)),
    "o": Sound(0.11, (450, 880, 2400)),
    "O": Sound(0.12, (570, 840, 2410)),
    "u": Sound(0.13, (300, 870, 2240)),
    "U": Sound(0.11, (640, 1190, 2390)),
    "@": Sound(0.05, (500, 1500, 2500), 0.8),
    "n": Sound(0.08, (250, 1400, 2500), 0.4),
    "r": Sound(0.06, (350, 1100, 1550), 0.7),
    "w": Sound(0.05, (300, 650, 2200), 0.6),
    "v": Sound(0.05, (300, 1100, 2300), 0.3, 0.15, 2_600),
    "z": Sound(0.07, (300, 1600, 2500), 0.3, 0.5, 3_500),
    "f": Sound(0.07, (300, 1100, 2300), 0.0, 0.25, 2_600),
    "T": Sound(0.06, (300, 1400, 2500), 0.0, 0.2, 3_000),
    "s": Sound(0.08, (300, 1600, 2500), 0.0, 0.7, 3_500),
    "t": Sound(0.03, (300, 1700, 2600), 0.0, 0.9, 3_200),
    "k": Sound(0.03, (300, 1900, 2400), 0.0, 0.7, 1_800),
    " ": Sound(0.03, (400, 1500, 2500), 0.0),
}
DIGITS = ("zIro", "wUn", "tu", "Tri", "fOr", "faIv", "sI ks", "sEv@n", "eI t", "naIn")


def clip(line: Floats) -> npt.NDArray[np.int16]:
    """The samples of one clip, as a microphone with 16 bits gives them."""
    _, digit, pitch_hz, tract, speed, start_seconds, loudness, noise, seed = line
    # NumPy promises that the stream of RandomState never changes.
    chance = np.random.RandomState(int(seed))
    sounds = [SOUNDS[name] for name in DIGITS[int(digit)]]
    frames = gliding(sounds, speed)
    spoken = voiced(frames, pitch_hz, tract) + hissing(frames, chance)
    heard = chance.standard_normal(SAMPLES) * noise * spoken.std()
    first = int(start_seconds * RATE_HZ)
    some = spoken[: SAMPLES - first]
    heard[first : first + len(some)] += some
    return np.round(heard / np.abs(heard).max() * loudness * LARGEST).astype(np.int16)


def gliding(sounds: list[Sound], speed: float) -> Floats:
    """For each sample the three formants, the loudness of the voice and of the hiss, and the middle of the hiss."""
    seconds = np.array([sound.seconds for sound in sounds]) / speed
    middles = np.cumsum(seconds) - seconds / 2
    targets = np.array([(*sound.formants_hz, sound.voice, sound.hiss, sound.hiss_hz) for sound in sounds])
    times = np.arange(int(seconds.sum() * RATE_HZ)) / RATE_HZ
    columns = [np.interp(times, middles, column) for column in targets.T]
    fade = np.minimum(1.0, np.minimum(times, times[-1] - times) / 0.01)
    columns[3:5] = [loudness * fade for loudness in columns[3:5]]
    return np.array(columns)


def voiced(frames: Floats, pitch_hz: float, tract: float) -> Floats:
    """The harmonics of a pitch that falls a little."""
    pitch = pitch_hz * np.linspace(1.05, 0.9, frames.shape[1])
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    harmonics = np.arange(1, int(RATE_HZ / 2 / pitch.max()) + 1)[:, None]
    loudness = np.zeros((len(harmonics), frames.shape[1]))
    for formant, bandwidth in zip(frames[:3], BANDWIDTHS_HZ, strict=True):
        loudness += 1 / (1 + ((harmonics * pitch - formant / tract) / bandwidth) ** 2)
    found: Floats = (loudness / harmonics**0.5 * np.sin(harmonics * phase)).sum(axis=0) * frames[3]
    return found


def hissing(frames: Floats, chance: np.random.RandomState) -> Floats:
    offsets, phases = chance.normal(0, 350, (HISSES, 1)), chance.uniform(0, 2 * np.pi, (HISSES, 1))
    frequencies = np.minimum(frames[5] + offsets, RATE_HZ / 2)
    waves = np.sin(2 * np.pi * np.cumsum(frequencies, axis=1) / RATE_HZ + phases)
    found: Floats = waves.sum(axis=0) / HISSES**0.5 * frames[4]
    return found
