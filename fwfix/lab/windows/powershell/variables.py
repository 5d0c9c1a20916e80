"""Reading and setting variables, the automatic ones among them."""

from __future__ import annotations

from fwfix.lab.windows.powershell import nodes
from fwfix.lab.windows.powershell.core import Core
from fwfix.lab.windows.powershell.errors import PSError, error
from fwfix.lab.windows.powershell.instances import Bag, Version
from fwfix.lab.windows.powershell.nettypes import EnumType, NetType
from fwfix.lab.windows.powershell.scopes import Cell, Scope
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.powershell.values import EnumValue, OrderedDictionary, Value, plain

_CONSTANTS: dict[str, Value] = {"null": None, "true": True, "false": False}
_UNKNOWN = {
    "myinvocation", "psscriptroot", "pscommandpath", "pwd", "home", "profile", "host", "shellid", "foreach",
    "switch",
    "this", "sender", "event", "eventargs", "eventsubscriber", "nestedpromptlevel", "stacktrace",
    "consolefilename",
    "psdefaultparametervalues", "psuiculture", "psculture", "psstyle", "confirmpreference",
    "pshome", "psemailserver",
    "outputencoding",
    "maximumhistorycount", "enabledexperimentalfeatures", "executioncontext.", "pssessionoption",
    "formatenumerationlimit",
    "^", "$", "pssessionapplicationname", "pssessionconfigurationname", "psboundparameters.",
    "logcommandhealthevent",
    "psnativecommandargumentpassing", "psnativecommanduseerroractionpreference", "islinux.",
    "debugpreference.",
}  # fmt: skip
_READ_ONLY = {
    "null",
    "true",
    "false",
    "?",
    "error",
    "pid",
    "psversiontable",
    "psedition",
    "executioncontext",
    "islinux",
    "iswindows",
    "ismacos",
    "iscoreclr",
}


class GuardedTable(OrderedDictionary):
    """A table of which not every key is known here."""

    __slots__ = ()

    def get(self, key: Value) -> Value:
        """Return a value; a key that is not known is refused."""
        if not self.has(key):
            raise NotInDialect(f"the key '{key}' of this table")
        return super().get(key)


_PREFERENCES = {
    "ErrorActionPreference": "Continue", "WarningPreference": "Continue", "ProgressPreference": "Continue",
    "VerbosePreference": "SilentlyContinue", "DebugPreference": "SilentlyContinue",
    "InformationPreference": "SilentlyContinue",
}  # fmt: skip


class Variables(Core):
    """Variables of the running script."""

    def define_preferences(self) -> None:
        """Set the preference variables as a new session has them."""
        kind = self.types.by_full_name("System.Management.Automation.ActionPreference")
        for name, value in _PREFERENCES.items():
            self.scope.global_scope().define(name, self.convert.to(value, kind))
        self.scope.global_scope().define("WhatIfPreference", False)

    def automatic(self, name: str) -> Value:  # noqa: C901 - one line a case
        """Return an automatic variable that no scope holds.

        Raises:
            KeyError: it is none.
        """
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name == "error":
            return self.error_list
        if name == "?":
            if self.success is None:
                raise NotInDialect("$? here")
            return self.success
        if name == "lastexitcode":
            return self.last_exit
        if name == "pid":
            return self.host.process_id
        if name == "psversiontable":
            return self.version_table()
        if name == "executioncontext":
            return self.execution_context()
        if name in ("islinux", "iswindows", "ismacos", "iscoreclr", "psedition"):
            return self._platform(name)
        if name in _UNKNOWN:
            raise NotInDialect(f"the variable ${name}")
        raise KeyError(name)

    def _platform(self, name: str) -> Value:
        if self.edition.desktop:
            if name == "psedition" and self.edition.version >= (5, 1):
                return "Desktop"
            raise KeyError(name)
        return "Core" if name == "psedition" else name in ("islinux", "iscoreclr")

    def version_table(self) -> Value:
        """Return `$PSVersionTable`."""
        parts = [int(p) for p in self.edition.build.split(".")]
        if self.edition.desktop:
            table = GuardedTable([("PSVersion", Version(*parts))])
            if self.edition.version >= (5, 1):
                table.set("PSEdition", "Desktop")
            return table
        numbers = dict(zip(("Major", "Minor", "Patch"), parts, strict=True))
        version = Bag("System.Management.Automation.SemanticVersion", dict(numbers))
        return GuardedTable([("PSVersion", version), ("PSEdition", "Core"), ("Platform", "Unix")])

    def execution_context(self) -> Value:
        """Return `$ExecutionContext` as far as it is known."""
        kind = self.types.find("System.Management.Automation.PSLanguageMode")
        assert isinstance(kind, EnumType)
        number = kind.number_of(self.host.language_mode)
        assert number is not None
        state = Bag("System.Management.Automation.SessionState", {"LanguageMode": EnumValue(kind, number)})
        return Bag("System.Management.Automation.EngineIntrinsics", {"SessionState": state})

    def read(self, node: nodes.Variable) -> Value:
        """Return a variable's value; what an empty pipeline left in it is kept."""
        name = node.name.lower()
        if node.scope == "env":
            return self.read_environment(node.name)
        if name == "psitem":
            name = "_"
        scope = self.scope_of(node)
        cell = scope.cells.get(name) if node.scope in ("local", "global") else scope.find(name)
        if cell is not None and name not in _CONSTANTS:
            return cell.value
        try:
            return self.automatic(name)
        except KeyError:
            pass
        if self.scope.is_strict():
            message = f"The variable '${node.name}' cannot be retrieved because it has not been set."
            raise error(message, "VariableIsUndefined", category="InvalidOperation")
        return None

    def scope_of(self, node: nodes.Variable) -> Scope:
        """Return the scope that a variable names."""
        if node.scope in ("", "local", "variable"):
            return self.scope
        if node.scope == "script":
            return self.scope.script_scope()
        if node.scope == "global":
            return self.scope.global_scope()
        raise NotInDialect(f"the scope or drive '{node.scope}:'", line=node.line)

    def read_environment(self, name: str) -> Value:
        """Return an environment variable; Windows ignores case."""
        if not self.edition.desktop:
            return self.host.environment.get(name)
        for known, value in self.host.environment.items():
            if known.lower() == name.lower():
                return value
        return None

    def write_environment(self, name: str, value: Value) -> None:
        """Set an environment variable; null or nothing removes it."""
        if self.edition.desktop:
            for known in list(self.host.environment):
                if known.lower() == name.lower():
                    name = known
        text = self.texts.of(value)
        if text:
            self.host.environment[name] = text
        else:
            self.host.environment.pop(name, None)

    def write(self, node: nodes.Variable, value: Value, types: tuple[NetType, ...] = ()) -> None:
        """Set a variable in the scope that it names, converted to the types that it was declared with."""
        name = node.name.lower()
        if node.scope == "env":
            self.write_environment(node.name, plain(value))
            return
        if name == "null":
            return
        if name in _READ_ONLY:
            raise error(
                f"Cannot overwrite variable {node.name} because it is read-only or constant.",
                "VariableNotWritable",
                category="WriteError",
            )  # fmt: skip
        if name in _UNKNOWN:
            raise NotInDialect(f"the variable ${node.name}", line=node.line)
        scope = self.scope_of(node)
        cell = scope.cells.get(name)
        types = types or (cell.types if cell is not None else ())
        if types:
            value = self.constrain(node.name, value, types)
        if name == "lastexitcode":
            raise NotInDialect("setting $LASTEXITCODE", line=node.line)
        if cell is None:
            scope.cells[name] = Cell(value, types)
        else:
            cell.value, cell.types = value, types

    def constrain(self, name: str, value: Value, types: tuple[NetType, ...]) -> Value:
        """Convert a value to a variable's types, the innermost first."""
        for kind in reversed(types):
            try:
                value = self.convert.to(value, kind)
            except PSError as exc:
                raise error(
                    None, "RuntimeException", category="MetadataError", target=name,
                    inner=exc.record.exception,
                    kind="System.Management.Automation.ArgumentTransformationMetadataException",
                ) from exc  # fmt: skip
        return value
