"""Finds templates: the site's own directories first, then the ones that fwfix brings along."""

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import jinja2

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

    def get_source(self, environment: jinja2.Environment, template: str) -> Source:
        """Return text, path and a freshness check, as Jinja asks for them."""
        del environment
        path = self.find(template)
        try:
            content = path.read_bytes()
            text = content.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise RenderError(f"{path}: cannot be read: {error}") from error
        digest = hashlib.sha256(content).hexdigest()
        self.used[template] = TemplateOrigin(name=template, origin=self._origin(path), sha256=digest)
        return text, str(path), lambda: True

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

    def _origin(self, path: Path) -> str:
        return "builtin" if path.is_relative_to(self._places[-1]) else str(path)
