"""System.IO.File, Directory and Path."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwfix.lab.windows.powershell.errors import NetError
from fwfix.lab.windows.powershell.instances import Bag, Encoding
from fwfix.lab.windows.powershell.members.tables import method, static, static_prop
from fwfix.lab.windows.powershell.members.text import UTF8_NO_BOM, decode, encode
from fwfix.lab.windows.powershell.nettypes import EnumType
from fwfix.lab.windows.powershell.numbers import Byte
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.unicode import to_python
from fwfix.lab.windows.powershell.values import EMPTY, Array, EnumValue, Instance, Value, items_of

if TYPE_CHECKING:
    from fwfix.lab.windows.powershell.core import Core

_F, _D, _P = "System.IO.File", "System.IO.Directory", "System.IO.Path"
_ENCODING = "System.Text.Encoding"
_STREAM = "System.IO.FileStream"
_DIRECTORY, _ARCHIVE, _REPARSE_POINT = 16, 32, 1024
_OPEN, _WRITE, _SHARED = 3, 2, 7


@contextmanager
def net_errors() -> Iterator[None]:
    """Turn errors of the file system into .NET's."""
    try:
        yield
    except FileNotFoundError as exc:
        raise NetError("System.IO.FileNotFoundException") from exc
    except PermissionError as exc:
        raise NetError("UnauthorizedAccessException") from exc
    except NotADirectoryError as exc:
        raise NetError("System.IO.DirectoryNotFoundException") from exc
    except OSError as exc:
        raise NetError("System.IO.IOException") from exc


def check_path(path: str | None) -> str:
    """Return a path to use; an empty one is an error."""
    if not path:
        raise NetError("ArgumentException")
    return to_python(path)


def _parent_exists(engine: Core, path: str) -> None:
    """.NET tells a missing folder from a missing file."""
    parent = os.path.dirname(path) if not engine.edition.desktop else ""  # noqa: PTH120 - a text
    if parent and not engine.host.files.is_folder(parent):
        raise NetError("System.IO.DirectoryNotFoundException")


@static(_F, "Exists", "string")
def _exists(engine: Core, path: str | None) -> Value:
    return bool(path) and engine.host.files.is_file(to_python(path or ""))


@static(_F, "ReadAllBytes", "string")
def _read_bytes(engine: Core, path: str) -> Value:
    return Array((Byte(b) for b in read(engine, path)), "System.Byte")


def read(engine: Core, path: str) -> bytes:
    """Return a file's bytes."""
    name = check_path(path)
    _parent_exists(engine, name)
    with net_errors():
        return engine.host.files.read(name)


@static(_F, "ReadAllText", "string")
@static(_F, "ReadAllText", "string", _ENCODING)
def _read_text(engine: Core, path: str, encoding: Encoding = UTF8_NO_BOM) -> Value:
    return decode(read(engine, path), encoding)


@static(_F, "ReadAllLines", "string")
@static(_F, "ReadAllLines", "string", _ENCODING)
def _read_lines(engine: Core, path: str, encoding: Encoding = UTF8_NO_BOM) -> Value:
    text = decode(read(engine, path), encoding).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return Array(lines, "System.String")


def write(engine: Core, path: str, content: bytes, *, append: bool = False) -> None:
    """Write a file."""
    name = check_path(path)
    _parent_exists(engine, name)
    with net_errors():
        engine.host.files.write(name, content, append=append)


@static(_F, "WriteAllText", "string", "string")
@static(_F, "WriteAllText", "string", "string", _ENCODING)
def _write_text(engine: Core, path: str, text: str | None, encoding: Encoding = UTF8_NO_BOM) -> Value:
    write(engine, path, encoding.bom + encode(text or "", encoding))
    return EMPTY


@static(_F, "AppendAllText", "string", "string")
@static(_F, "AppendAllText", "string", "string", _ENCODING)
def _append_text(engine: Core, path: str, text: str | None, encoding: Encoding = UTF8_NO_BOM) -> Value:
    there = engine.host.files.is_file(check_path(path))
    write(engine, path, (b"" if there else encoding.bom) + encode(text or "", encoding), append=True)
    return EMPTY


@static(_F, "WriteAllBytes", "string", "byte[]")
def _write_bytes(engine: Core, path: str, content: Array) -> Value:
    write(engine, path, bytes(int(b) for b in content.items if isinstance(b, int)))
    return EMPTY


@static(_F, "WriteAllLines", "string", "string[]")
@static(_F, "WriteAllLines", "string", "string[]", _ENCODING)
def _write_lines(engine: Core, path: str, lines: Array, encoding: Encoding = UTF8_NO_BOM) -> Value:
    end = "\r\n" if engine.edition.desktop else "\n"
    text = "".join(engine.texts.of(line) + end for line in items_of(lines))
    write(engine, path, encoding.bom + encode(text, encoding))
    return EMPTY


@static(_F, "Delete", "string")
def _delete(engine: Core, path: str) -> Value:
    name = check_path(path)
    _parent_exists(engine, name)
    with net_errors():
        engine.host.files.delete(name)
    return EMPTY


@static(_F, "GetAttributes", "string")
def _attributes(engine: Core, path: str) -> Value:
    files, name = engine.host.files, check_path(path)
    if not engine.edition.desktop:
        raise NotInDialect("the attributes of a file outside Windows")
    if not files.is_file(name) and not files.is_folder(name):
        raise NetError("System.IO.FileNotFoundException")
    kind = engine.types.by_full_name("System.IO.FileAttributes")
    assert isinstance(kind, EnumType)
    number = _ARCHIVE if files.is_file(name) else _DIRECTORY
    # A file system without links need not say so.
    is_link = getattr(files, "is_link", None)
    return EnumValue(kind, number | (_REPARSE_POINT if is_link is not None and is_link(name) else 0))


def _two(engine: Core, source: str, target: str, act: Callable[[str, str], None]) -> Value:
    first, second = check_path(source), check_path(target)
    if not engine.host.files.is_file(first):
        raise NetError("System.IO.FileNotFoundException")
    with net_errors():
        act(first, second)
    return EMPTY


@static(_F, "Move", "string", "string")
def _move(engine: Core, source: str, target: str) -> Value:
    return _two(engine, source, target, lambda a, b: engine.host.files.move(a, b, overwrite=False))


@static(_F, "Move", "string", "string", "bool", core=True)
def _move_over(engine: Core, source: str, target: str, overwrite: bool) -> Value:  # noqa: FBT001 - as .NET has it
    return _two(engine, source, target, lambda a, b: engine.host.files.move(a, b, overwrite=overwrite))


@static(_F, "Copy", "string", "string")
@static(_F, "Copy", "string", "string", "bool")
def _copy(engine: Core, source: str, target: str, overwrite: bool = False) -> Value:  # noqa: FBT001, FBT002 - as .NET has it
    return _two(engine, source, target, lambda a, b: engine.host.files.copy(a, b, overwrite=overwrite))


@static(_F, "Replace", "string", "string", "string")
def _replace(engine: Core, source: str, target: str, backup: str | None) -> Value:
    files = engine.host.files
    if not files.is_file(check_path(source)) or not files.is_file(check_path(target)):
        raise NetError("System.IO.FileNotFoundException")
    with net_errors():
        if backup:
            files.copy(to_python(target), to_python(backup), overwrite=True)
        files.move(to_python(source), to_python(target), overwrite=True)
    return EMPTY


@dataclass(slots=True)
class FileStream(Instance):
    """An open file, as far as putting it on the disk goes; nothing is read or written through it."""

    path: str
    net_type: str = _STREAM


@static(_F, "Open", "string", "System.IO.FileMode", "System.IO.FileAccess", "System.IO.FileShare")
def _open(engine: Core, path: str, *how: EnumValue) -> Value:
    name = check_path(path)
    if tuple(each.number for each in how) != (_OPEN, _WRITE, _SHARED):
        raise NotInDialect("a file opened for anything but to flush it, shared with everybody")
    _parent_exists(engine, name)
    if not engine.host.files.is_file(name):
        raise NetError("System.IO.FileNotFoundException")
    return FileStream(name)


@method(_STREAM, "Flush", "bool")
def _flush(engine: Core, self: FileStream, to_disk: bool) -> Value:  # noqa: FBT001 - as .NET has it
    if to_disk:
        with net_errors():
            engine.host.files.flush(self.path)
    return EMPTY


method(_STREAM, "Dispose")(lambda _engine, _self: EMPTY)


@static(_D, "Exists", "string")
def _folder_exists(engine: Core, path: str | None) -> Value:
    return bool(path) and engine.host.files.is_folder(to_python(path or ""))


@static(_D, "CreateDirectory", "string")
def _create_folder(engine: Core, path: str) -> Value:
    name = check_path(path)
    with net_errors():
        engine.host.files.make_folder(name)
    return Bag("System.IO.DirectoryInfo", {"FullName": path})


@static(_D, "Delete", "string")
@static(_D, "Delete", "string", "bool")
def _delete_folder(engine: Core, path: str, recursive: bool = False) -> Value:  # noqa: FBT001, FBT002 - as .NET has it
    name = check_path(path)
    if not engine.host.files.is_folder(name):
        raise NetError("System.IO.DirectoryNotFoundException")
    with net_errors():
        engine.host.files.delete_folder(name, recursive=recursive)
    return EMPTY


@static(_P, "Combine", rest=True)
def _combine(engine: Core, *arguments: Value) -> Value:
    separator = "\\" if engine.edition.desktop else "/"
    path = ""
    for argument in (i for a in arguments for i in items_of(a)):
        if not isinstance(argument, str):
            raise NotInDialect("[IO.Path]::Combine of something else than strings")
        if argument.startswith(("/", "\\")) or argument[1:2] == ":":
            path = argument
        elif argument:
            glue = "" if not path or path[-1] in "/\\"[: 1 + engine.edition.desktop] else separator
            path += glue + argument
    return path


def _name_of(engine: Core, path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1] if engine.edition.desktop else path.rsplit("/", 1)[-1]


@static(_P, "GetFileName", "string")
def _file_name(engine: Core, path: str) -> Value:
    return _name_of(engine, path)


@static(_P, "GetFileNameWithoutExtension", "string")
def _stem(engine: Core, path: str) -> Value:
    name = _name_of(engine, path)
    return name.rsplit(".", 1)[0] if "." in name else name


@static(_P, "GetExtension", "string")
def _extension(engine: Core, path: str) -> Value:
    name = _name_of(engine, path)
    return "." + name.rsplit(".", 1)[1] if "." in name and not name.endswith(".") else ""


@static(_P, "GetDirectoryName", "string")
def _folder_name(engine: Core, path: str) -> Value:
    if "//" in path or "\\\\" in path or not path:
        raise NotInDialect("the folder of this path")
    if engine.edition.desktop:
        normal = path.replace("/", "\\")
        head, mark, _ = normal.rpartition("\\")
        if not mark or head.endswith(":") or not head:
            raise NotInDialect("the folder of this path")
        return head
    head, mark, _ = path.rpartition("/")
    if not mark:
        return ""
    if not head:
        return "/" if path != "/" else None
    return head


@static_prop(_P, "DirectorySeparatorChar")
def _separator(engine: Core) -> Value:
    from fwfix.lab.windows.powershell.values import Char  # noqa: PLC0415 - only here

    return Char("\\" if engine.edition.desktop else "/")
