"""What has to have happened before a panel shows anything: an empty panel of a small installation is no fault."""

from enum import Enum


class Needs(Enum):
    """The sentence that a panel's description ends with, and the table for operators groups by."""

    NOTHING = "Shows data as soon as the services run."
    REDIS = "Empty without Redis."
    FACTS = "Empty until a model, a version or an environment has been created."
    CALLS = "Empty until services are called."
    VERSION = "Empty until a version has been trained and evaluated."
    COMPLETED = "Empty until a release has completed."
    RELEASE_SEEN = "Empty when there was no release within the chosen time."
    RELEASE = "Empty while no release is under way."
    SPLIT = "Empty until stable and candidate have both answered callers."
    ROLLED_BACK = "Empty until a release has been rolled back."
    PREDICTIONS = "Empty until a model is called."
    LISTS = "Empty until somebody lists or searches."
    REFUSED = "Empty until a command has been refused."
    TWICE = "Empty until the same thing has happened twice: the first time only begins the series."
