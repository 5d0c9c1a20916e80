"""Finds templates: the site's own directories first, then the ones that fwfix brings along."""

import hashlib
from collections.abc import Callable, MutableMapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes

from fwfix.errors import RenderError
from fwfix.model.script import TemplateOrigin

BUILTIN = "builtin/"
_SUFFIX = ".j2"

Source = tuple[str, str, Callable[[], bool]]


def builtin_templates() -> Path:
    """Return the directory of the templates that fwfix brings along.

    Raises:
        RenderError: the installation is incomplete.
    """
    package = Path(str(files("fwfix")))
    for directory in (package / "_templates", package.parent / "templates"):
        if directory.is_dir() and (
            directory.name == "_templates" or (package.parent / "pyproject.toml").exists()
        ):
            return directory
    raise RenderError("The templates of fwfix are missing.", next="Install fwfix again.")


def template_names(directory: Path) -> tuple[str, ...]:
    """Return the names of the templates below a directory, sorted."""
    found = (path for path in directory.rglob("*") if path.is_file() and path.suffix == _SUFFIX)
    return tuple(sorted(path.relative_to(directory).as_posix() for path in found))


class TracingLoader(jinja2.BaseLoader):
    """Loads templates and remembers which were used: name, place and digest.

    A site's template replaces the one of the same name; `builtin/NAME` is always ours, to extend it.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self._places = (*directories, builtin_templates())
        self.used: dict[str, TemplateOrigin] = {}
        self._trees: dict[str, nodes.Template] = {}
        self._references: dict[str, tuple[str | None, ...]] = {}

    def get_source(self, environment: jinja2.Environment, template: str) -> Source:
        """Return text, path and a freshness check, as Jinja asks for them."""
        del environment
        path = self.find(template)
        self.used[template] = self._origin_of(template, path)
        return _read(path), str(path), lambda: True

    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - Jinja calls it so
    ) -> jinja2.Template:
        """Compile a template, from the tree that `references` has read where it did."""
        tree = self._trees.pop(name, None) or self._parse(environment, name)
        code = environment.compile(tree, name, str(self.find(name)))
        return environment.template_class.from_code(environment, code, globals or {}, lambda: True)

    def references(self, environment: jinja2.Environment, name: str) -> tuple[str | None, ...]:
        """Return the templates that one names itself; None for a name that is computed."""
        if name not in self._references:
            tree = self._parse(environment, name)
            self._references[name] = tuple(meta.find_referenced_templates(tree))
            self._trees[name] = tree
        return self._references[name]

    def _parse(self, environment: jinja2.Environment, name: str) -> nodes.Template:
        source, _, _ = self.get_source(environment, name)
        return environment.parse(source, name)

    def describe(self, name: str) -> TemplateOrigin:
        """Return where a template would be taken from.

        Raises:
            RenderError: there is none of this name.
        """
        return self._origin_of(name, self._find_for_people(name))

    def text(self, name: str) -> str:
        """Return a template as it stands in its file.

        Raises:
            RenderError: there is none of this name.
        """
        return _read(self._find_for_people(name))

    def _find_for_people(self, name: str) -> Path:
        try:
            return self.find(name)
        except jinja2.TemplateNotFound:
            near = get_close_matches(name, self.list_templates(), n=1, cutoff=0.4)
            hint = f"Did you mean {near[0]}?" if near else "See `fwfix templates list`."
            raise RenderError(f"There is no template {name}.", next=hint) from None

    def list_templates(self) -> list[str]:
        """Return every name that can be loaded, without the prefixed ones."""
        return sorted({name for place in self._places for name in template_names(place)})

    def find(self, name: str) -> Path:
        """Return the file of a template.

        Raises:
            jinja2.TemplateNotFound: there is none.
        """
        ours = name.removeprefix(BUILTIN)
        places = self._places if ours == name else self._places[-1:]
        if ".." in Path(ours).parts or Path(ours).is_absolute():
            raise jinja2.TemplateNotFound(name)
        for place in places:
            path = place / ours
            if path.is_file():
                return path
        raise jinja2.TemplateNotFound(name)

    def _origin_of(self, name: str, path: Path) -> TemplateOrigin:
        origin = "builtin" if path.is_relative_to(self._places[-1]) else str(path)
        return TemplateOrigin(name=name, origin=origin, sha256=hashlib.sha256(_read_bytes(path)).hexdigest())


def export_templates(directory: Path) -> tuple[Path, ...]:
    """Copy the built-in templates to a directory; nothing that is there is overwritten.

    Raises:
        RenderError: a file is there already, or cannot be written.
    """
    source = builtin_templates()
    names = template_names(source)
    if there := [name for name in names if (directory / name).exists()]:
        raise RenderError(
            f"{directory / there[0]} is there already; nothing was written.", next="Export to another folder."
        )
    try:
        for name in names:
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_read_bytes(source / name))
    except OSError as error:
        raise RenderError(f"The templates cannot be written: {error}") from error
    return tuple(directory / name for name in names)


def _read(path: Path) -> str:
    try:
        return _read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise RenderError(f"{path}: is not UTF-8: {error}") from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RenderError(f"{path}: cannot be read: {error}") from error
