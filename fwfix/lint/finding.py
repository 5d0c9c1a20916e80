"""What is wrong, and where."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """Something wrong in one script; the line is 1-based."""

    line: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """Something wrong in one file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"
