"""How far predicted probabilities are from the shares of rows in which they come true.

The probabilities are sorted into ten bins of equal width, with the edges of scikit-learn's calibration_curve. The error
is the mean over the rows of the distance, in the row's bin, between the mean probability and the share (the expected
calibration error).
"""

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import Floats, Integers
from headgate.artifacts.calibration_bins import BINS

CALIBRATION_ERROR = "calibration_error"


def calibration_error(bins: Integers, probabilities: Floats, came_true: npt.NDArray[np.bool_]) -> float:
    distances = np.bincount(bins, probabilities - came_true, BINS)
    return float(np.abs(distances).sum() / len(bins))
