"""Paths: Test-Path, Get-Item, New-Item, Remove-Item, Join-Path, Split-Path, Get-Content, Get-ItemProperty."""

from __future__ import annotations

from fwfix.lab.windows.powershell.errors import PSError
from fwfix.lab.windows.powershell.instances import Bag
from fwfix.lab.windows.powershell.invocation import Invocation
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.signature import Command, Parameter, parameter, per_record
from fwfix.lab.windows.powershell.unicode import to_python
from fwfix.lab.windows.powershell.values import PSObject

_COMMANDS = "Microsoft.PowerShell.Commands."
_A = "System.Management.Automation."
_HIVES = ("hklm:", "registry::hkey_local_machine", "registry::hklm")


def literal_path(call: Invocation) -> str:
    """Return the path of a call; a wildcard is refused."""
    name = "LiteralPath" if call.has("LiteralPath") else "Path"
    paths = call.texts(name)
    if len(paths) != 1 or (name == "Path" and any(c in paths[0] for c in "*?[`")):
        raise NotInDialect("several paths or a wildcard")
    return to_python(paths[0])


def registry_key(path: str) -> str | None:
    """Return the key of a registry path, None for another path."""
    lowered = path.lower()
    for hive in _HIVES:
        if lowered.startswith(hive):
            return path[len(hive) :].strip("\\/").replace("/", "\\")
    return None


def _file_path(call: Invocation) -> str:
    path = literal_path(call)
    drive = path.split(":", 1)[0] if ":" in path else ""
    if drive and not (call.engine.edition.desktop and len(drive) == 1):
        raise NotInDialect(f"the drive {drive}:")
    return path


def _not_found(call: Invocation, path: str) -> None:
    call.write_error(
        f"Cannot find path '{path}' because it does not exist.", "PathNotFound", category="ObjectNotFound",
        kind=_A + "ItemNotFoundException", target=path,
    )  # fmt: skip


def _test_path(call: Invocation) -> None:
    path = literal_path(call)
    if not path:
        raise NotInDialect("Test-Path of nothing")
    kind = call.text("PathType", "Any").lower()
    key = registry_key(path)
    if key is not None:
        call.write(call.engine.host.registry.values(key) is not None and kind != "leaf")
        return
    if path.lower().startswith("env:"):
        known = call.engine.read_environment(path[4:]) is not None
        call.write(known and kind != "container")
        return
    path = _file_path(call)
    files = call.engine.host.files
    folder, file = files.is_folder(path), files.is_file(path)
    call.write({"any": folder or file, "leaf": file, "container": folder}[kind])


def _get_item(call: Invocation) -> None:
    path = _file_path(call)
    files = call.engine.host.files
    if not files.is_file(path) and not files.is_folder(path):
        _not_found(call, path)
        return
    kind = "System.IO.DirectoryInfo" if files.is_folder(path) else "System.IO.FileInfo"
    name = path.rstrip("/").rsplit("/", 1)[-1]
    call.write(Bag(kind, {"FullName": path, "Name": name, "PSIsContainer": kind.endswith("DirectoryInfo")}))


def _new_item(call: Invocation) -> None:
    path = _file_path(call)
    if call.has("Name"):
        path = path.rstrip("/") + "/" + call.text("Name")
    kind = call.text("ItemType", "File").lower()
    files = call.engine.host.files
    if kind == "directory":
        if (files.is_folder(path) and not call.flag("Force")) or files.is_file(path):
            call.write_error(
                None, "DirectoryExist", category="ResourceExists", kind="System.IO.IOException", target=path
            )
            return
        files.make_folder(path)
        call.write(Bag("System.IO.DirectoryInfo", {"FullName": path, "Name": path.rsplit("/", 1)[-1]}))
        return
    if kind != "file":
        raise NotInDialect(f"New-Item of a {kind}")
    if files.is_folder(path) or (files.is_file(path) and not call.flag("Force")):
        call.write_error(
            None, "NewItemIOError", category="WriteError", kind="System.IO.IOException", target=path
        )
        return
    parent = path.rsplit("/", 1)[0]
    if "/" in path and not files.is_folder(parent or "/"):
        raise NotInDialect("New-Item in a folder that is not there")
    content = call.text("Value").encode()
    files.write(path, content, append=False)
    call.write(Bag("System.IO.FileInfo", {"FullName": path, "Name": path.rsplit("/", 1)[-1]}))


def _remove_item(call: Invocation) -> None:
    path = _file_path(call)
    files = call.engine.host.files
    if files.is_file(path):
        files.delete(path)
    elif files.is_folder(path):
        if not call.flag("Recurse") and files.names(path):
            raise NotInDialect("Remove-Item of a folder with something in it")
        files.delete_folder(path, recursive=call.flag("Recurse"))
    else:
        _not_found(call, path)


def _join_path(call: Invocation) -> None:
    separator = "\\" if call.engine.edition.desktop else "/"
    paths, child = call.texts("Path"), call.text("ChildPath")
    for extra in call.texts("AdditionalChildPath"):
        child = child.rstrip("/\\") + separator + extra.lstrip("/\\")
    for path in paths:
        if "\\" in path + child and separator == "/":
            path, child = path.replace("\\", "/"), child.replace("\\", "/")  # noqa: PLW2901 - normalised
        if separator == "\\":
            path, child = path.replace("/", "\\"), child.replace("/", "\\")  # noqa: PLW2901 - normalised
            if ":" in path and not call.engine.edition.desktop:
                raise NotInDialect("a drive in Join-Path")
        if not path or not child:
            raise NotInDialect("Join-Path of nothing")
        call.write(path.rstrip(separator) + separator + child.lstrip(separator))


def _split_path(call: Invocation) -> None:
    path = call.text("LiteralPath") or call.text("Path")
    separator = "\\" if call.engine.edition.desktop else "/"
    if "\\" in path and separator == "/":
        raise NotInDialect("Split-Path of a path of Windows")
    trimmed = path.replace("/", separator).rstrip(separator)
    head, mark, leaf = trimmed.rpartition(separator)
    if call.flag("Leaf"):
        call.write(leaf)
    elif not head:
        raise NotInDialect("Split-Path of the root") if mark else NotInDialect("Split-Path of a name alone")
    else:
        call.write(head)


def _get_content(call: Invocation) -> None:
    from fwfix.lab.windows.powershell.members.text import UTF8_NO_BOM, decode  # noqa: PLC0415 - only here

    path = _file_path(call)
    if call.engine.edition.desktop or call.has("Encoding"):
        raise NotInDialect("Get-Content in the code page of the host")
    if not call.engine.host.files.is_file(path):
        _not_found(call, path)
        return
    text = decode(call.engine.host.files.read(path), UTF8_NO_BOM)
    if call.flag("Raw"):
        if text:
            call.write(text)
        return
    lines = text.replace("\r\n", "\n").split("\n")
    for line in lines[:-1] if lines[-1] == "" else lines:
        call.write(line)


def _get_item_property(call: Invocation) -> None:
    path = literal_path(call)
    key = registry_key(path)
    if key is None:
        raise NotInDialect("Get-ItemProperty outside the registry")
    values = call.engine.host.registry.values(key)
    if values is None:
        _not_found(call, path)
        return
    wanted = call.texts("Name")
    pairs = [(n, v) for n, v in values.items() if not wanted or n.lower() in (w.lower() for w in wanted)]
    known = {n.lower() for n, _ in pairs}
    for name in wanted:
        if name.lower() not in known:
            full = path
            raise PSError(
                call.record(
                    f"Property {name} does not exist at path {full}.",
                    "System.Management.Automation.PSArgumentException",
                    category="InvalidArgument", kind=_A + "PSArgumentException",
                )
            )  # fmt: skip
    leaf = key.rsplit("\\", 1)[-1]
    full = f"Microsoft.PowerShell.Core\\Registry::HKEY_LOCAL_MACHINE\\{key}"
    pairs += [
        ("PSPath", full), ("PSParentPath", full.rsplit("\\", 1)[0]), ("PSChildName", leaf),
        ("PSDrive", "HKLM"),
        ("PSProvider", "Microsoft.PowerShell.Core\\Registry"),
    ]  # fmt: skip
    call.write(PSObject(pairs))


def _paths(*, mandatory: bool = True) -> tuple[Parameter, ...]:
    return (
        parameter(
            "Path",
            "string[]",
            position=0,
            mandatory=mandatory,
            pipeline=True,
            by_property=True,
            sets=("Path",),
        ),
        parameter(
            "LiteralPath",
            "string[]",
            mandatory=mandatory,
            by_property=True,
            aliases=("PSPath", "LP"),
            sets=("LiteralPath",),
        ),
    )


_FORCE = parameter("Force", "switch")
COMMANDS = (
    Command(
        name="Test-Path", error_name=_COMMANDS + "TestPathCommand", make=per_record(_test_path),
        default_set="Path",
        parameters=(*_paths(), parameter("PathType", "string", aliases=("Type",))),
    ),
    Command(
        name="Get-Item", error_name=_COMMANDS + "GetItemCommand", make=per_record(_get_item),
        default_set="Path",
        parameters=(*_paths(), _FORCE),
    ),
    Command(
        name="New-Item", error_name=_COMMANDS + "NewItemCommand", make=per_record(_new_item),
        parameters=(
            parameter("Path", "string[]", position=0, mandatory=True), parameter("Name", "string"),
            parameter("ItemType", "string", aliases=("Type",)), parameter("Value", "string"), _FORCE,
        ),
    ),
    Command(
        name="Remove-Item", error_name=_COMMANDS + "RemoveItemCommand", make=per_record(_remove_item),
        default_set="Path",
        parameters=(*_paths(), parameter("Recurse", "switch"), _FORCE), should_process=True,
    ),
    Command(
        name="Join-Path", error_name=_COMMANDS + "JoinPathCommand", make=per_record(_join_path),
        parameters=(
            parameter("Path", "string[]", position=0, mandatory=True),
            parameter("ChildPath", "string", position=1, mandatory=True),
            parameter("AdditionalChildPath", "string[]", position=2, remaining=True),
        ),
    ),
    Command(
        name="Split-Path", error_name=_COMMANDS + "SplitPathCommand", make=per_record(_split_path),
        default_set="Path",
        parameters=(
            parameter("Path", "string", position=0, mandatory=True, pipeline=True, sets=("Path",)),
            parameter("LiteralPath", "string", mandatory=True, sets=("LiteralPath",)),
            parameter("Parent", "switch"), parameter("Leaf", "switch"),
        ),
    ),
    Command(
        name="Get-Content", error_name=_COMMANDS + "GetContentCommand", make=per_record(_get_content),
        default_set="Path",
        parameters=(*_paths(), parameter("Raw", "switch"), parameter("Encoding", "string")),
    ),
    Command(
        name="Get-ItemProperty", error_name=_COMMANDS + "GetItemPropertyCommand",
        make=per_record(_get_item_property),
        default_set="Path", parameters=(*_paths(), parameter("Name", "string[]", position=1)),
    ),
)  # fmt: skip
