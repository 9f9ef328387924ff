"""Runs foreign code, such as that of a repository, where it reaches nothing of the machine that it was not given."""
