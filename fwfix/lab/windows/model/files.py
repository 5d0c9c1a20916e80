r"""The host's disk: files and folders by Windows path, without regard to case; survives a reboot."""

import threading

_ROOTS = ("c:", r"c:\windows", r"c:\windows\temp", r"c:\programdata", r"c:\users", r"c:\users\public")


class DiskFiles:
    """A disk with one volume, C:; a full disk refuses every write."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._files: dict[str, tuple[str, bytes]] = {}
        self._folders: dict[str, str] = {root: root for root in _ROOTS}
        self._unflushed: set[str] = set()
        self._renamed: list[tuple[str, str]] = []
        self.full = False

    def is_file(self, path: str) -> bool:
        """Say whether a file is there."""
        with self._lock:
            return _key(path) in self._files

    def is_folder(self, path: str) -> bool:
        """Say whether a folder is there."""
        with self._lock:
            return _key(path) in self._folders

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        with self._lock:
            if _key(path) not in self._files:
                raise FileNotFoundError(path)
            return self._files[_key(path)][1]

    def write(self, path: str, content: bytes, *, append: bool) -> None:
        """Write a file whole, or add to its end."""
        key = _key(path)
        with self._lock:
            self._check_place(key, path)
            spelling, old = self._files.get(key, (path.rpartition("\\")[2], b""))
            self._files[key] = (spelling, old + content if append else content)
            self._unflushed.add(key)

    def _check_place(self, key: str, path: str) -> None:
        if self.full:
            raise OSError(28, "There is not enough space on the disk.", path)
        if key in self._folders:
            raise PermissionError(path)
        if _parent(key) not in self._folders:
            raise FileNotFoundError(path)

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        with self._lock:
            if _key(path) in self._folders:
                raise PermissionError(path)
            self._files.pop(_key(path), None)

    def move(self, source: str, target: str, *, overwrite: bool) -> None:
        """Rename a file."""
        with self._lock:
            content = self.read(source)
            if self.is_file(target) and not overwrite:
                raise FileExistsError(target)
            if _parent(_key(target)) not in self._folders:
                raise FileNotFoundError(target)
            self._rename(_key(source), target, content)
            self._renamed.append((source, target))

    def _rename(self, source: str, target: str, content: bytes) -> None:
        del self._files[source]
        self._files[_key(target)] = (target.rpartition("\\")[2], content)
        if source in self._unflushed:
            self._unflushed.remove(source)
            self._unflushed.add(_key(target))

    def flush(self, path: str) -> None:
        """Put a file on the disk; with its name go all earlier names, which are in one log."""
        with self._lock:
            self.read(path)
            self._unflushed.discard(_key(path))
            self._renamed.clear()

    def cut_power(self) -> None:
        """Lose what is only in the cache: new names, and contents, which are zeros then."""
        with self._lock:
            for source, target in reversed(self._renamed):
                if self.is_file(target):
                    self._rename(_key(target), source, self.read(target))
            for key in self._unflushed & self._files.keys():
                spelling, content = self._files[key]
                self._files[key] = (spelling, bytes(len(content)))
            self._renamed.clear()
            self._unflushed.clear()

    def copy(self, source: str, target: str, *, overwrite: bool) -> None:
        """Copy a file."""
        with self._lock:
            content = self.read(source)
            if self.is_file(target) and not overwrite:
                raise FileExistsError(target)
            self.write(target, content, append=False)

    def make_folder(self, path: str) -> None:
        """Create a folder with its parents."""
        with self._lock:
            parts = path.rstrip("\\").replace("/", "\\").split("\\")
            for length in range(1, len(parts) + 1):
                part = "\\".join(parts[:length])
                if _key(part) in self._files:
                    raise FileExistsError(part)
                if self.full and _key(part) not in self._folders:
                    raise OSError(28, "There is not enough space on the disk.", path)
                self._folders.setdefault(_key(part), parts[length - 1])

    def delete_folder(self, path: str, *, recursive: bool) -> None:
        """Delete a folder."""
        key = _key(path)
        with self._lock:
            if key not in self._folders:
                raise FileNotFoundError(path)
            inside = [name for name in (*self._files, *self._folders) if name.startswith(key + "\\")]
            if inside and not recursive:
                raise OSError(39, "The directory is not empty.", path)
            for name in (*inside, key):
                self._files.pop(name, None)
                self._folders.pop(name, None)

    def names(self, path: str) -> list[str]:
        """Return the names in a folder."""
        key = _key(path)
        with self._lock:
            if key not in self._folders:
                raise FileNotFoundError(path)
            found = [spelling for name, (spelling, _) in self._files.items() if _parent(name) == key]
            found += [spelling for name, spelling in self._folders.items() if _parent(name) == key]
            return sorted(found, key=str.lower)


def _key(path: str) -> str:
    return path.replace("/", "\\").rstrip("\\").removeprefix("\\\\?\\").lower()


def _parent(key: str) -> str:
    return key.rpartition("\\")[0]
