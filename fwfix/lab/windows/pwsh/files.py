r"""The twin's disk of the real engine: .NET on Linux takes `C:\a\b` as one flat name in its folder."""

import os
import shutil
from pathlib import Path

from fwfix.lab.windows.powershell.signals import NotInDialect


class FlatFiles:
    """A folder whose entries have whole Windows paths as their names; unlike Windows, they have a case.

    Args:
        folder: the working directory of the engine.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_file(self, path: str) -> bool:
        """Say whether a file is there."""
        return self._at(path).is_file()

    def is_folder(self, path: str) -> bool:
        """Say whether a folder is there."""
        return self._at(path).is_dir()

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        return self._at(path).read_bytes()

    def write(self, path: str, content: bytes, *, append: bool) -> None:
        """Write a file whole, or add to its end."""
        with self._at(path).open("ab" if append else "wb") as stream:
            stream.write(content)

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        self._at(path).unlink(missing_ok=True)

    def move(self, source: str, target: str, *, overwrite: bool) -> None:
        """Rename a file."""
        if not overwrite and self._at(target).exists():
            raise FileExistsError(target)
        self._at(source).rename(self._at(target))

    def copy(self, source: str, target: str, *, overwrite: bool) -> None:
        """Copy a file."""
        if not overwrite and self._at(target).exists():
            raise FileExistsError(target)
        shutil.copyfile(self._at(source), self._at(target))

    def flush(self, path: str) -> None:
        """Put a file on the disk."""
        with self._at(path).open("r+b") as stream:
            os.fsync(stream.fileno())

    def make_folder(self, path: str) -> None:
        """Create a folder; its parents are no folders of it here."""
        self._at(path).mkdir(exist_ok=True)

    def delete_folder(self, path: str, *, recursive: bool) -> None:
        """Delete a folder, with everything whose name begins with its path."""
        inside = list(self.folder.glob(_literal(self._at(path).name + "\\") + "*"))
        if inside and not recursive:
            raise OSError(39, "The directory is not empty.", path)
        for each in inside:
            if each.is_dir():
                each.rmdir()
            else:
                each.unlink()
        self._at(path).rmdir()

    def names(self, path: str) -> list[str]:
        """Refuse: the engine itself cannot list a folder of flat names."""
        raise NotInDialect(f"a list of {path} on the real engine")

    def _at(self, path: str) -> Path:
        return self.folder / path.rstrip("\\")


def _literal(text: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in text)
