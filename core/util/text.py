"""Wording of messages to users."""


def count_of(number: int, noun: str) -> str:
    """Write a number with its noun, a regular one in the singular: "1 image", "2 images"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
