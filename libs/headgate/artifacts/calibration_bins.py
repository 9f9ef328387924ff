"""The bins into which probabilities are sorted to see how often they come true."""

import numpy as np

from headgate.artifacts.answers import Floats, Integers

BINS = 10
EDGES = np.linspace(0, 1, BINS + 1)[1:-1]
"""Those of scikit-learn's calibration_curve."""


def bins_of(probabilities: Floats) -> Integers:
    """The bin of each probability; one on an edge is in the lower bin. Comparing is four times as fast as searching."""
    bins = np.zeros(len(probabilities), np.int8)
    for edge in EDGES:
        bins += probabilities > edge
    return bins.astype(np.int64)
