"""What a panel needs before it shows data. An empty panel in a small installation is not a fault."""

from enum import Enum


class Needs(Enum):
    """The last sentence of a panel's description. The table for operators is sorted by it."""

    NOTHING = "Shows data as soon as the services run."
    REDIS = "Empty without Redis."
    FACTS = "Empty until a model, a version or an environment has been created."
    CALLS = "Empty until services are called."
    VERSION = "Empty until a version has been trained and evaluated."
    COMPLETED = "Empty until a release has completed."
    RELEASE_SEEN = "Empty when there was no release in the chosen time."
    RELEASE = "Empty while no release is running."
    SPLIT = "Empty until stable and candidate have both answered callers."
    ROLLED_BACK = "Empty until a release has been rolled back."
    PREDICTIONS = "Empty until a model is called."
    TOGETHER = "Empty until requests have waited together for a slow version."
    LISTS = "Empty until a list or a search is requested."
    REFUSED = "Empty until a command has been refused."
    TWICE = "Empty until the same thing has happened twice, because the first time only starts the series."
