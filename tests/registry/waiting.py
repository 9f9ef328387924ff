"""Small values that the registry's tests share."""

REPOSITORY = "https://git.example/fraud"


def commit(number: int) -> str:
    return f"{number:040x}"
