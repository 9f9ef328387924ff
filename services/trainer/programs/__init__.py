"""Foreign programs, such as the code of a commit: their Python, what they may do with files, their start and end."""
