"""Turns a template and values into a script, and says which templates it came from."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fwfix.errors import RenderError
from fwfix.model.script import Script
from fwfix.rendering.loader import TracingLoader
from fwfix.rendering.powershell import quote_for_powershell


def quote_for_sh(value: object) -> str:
    """Quote one value for a POSIX shell: the only way for a value into a Linux script.

    Raises:
        RenderError: it holds a NUL or a line break, which no value of ours has.
    """
    text = str(value)
    if any(character in text for character in "\0\n\r"):
        raise RenderError(f"{text!r} cannot be a word in a script.")
    return shlex.quote(text)


def make_environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """Make the one Jinja environment that fwfix uses."""
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        # HTML escapes would damage scripts; quoting is the filters' task, one for each language.
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters["sh"] = quote_for_sh
    environment.filters["ps"] = quote_for_powershell
    return environment


class Renderer:
    """Renders templates; the site's directories go before fwfix's own."""

    def __init__(self, template_dirs: Sequence[Path] = ()) -> None:
        for directory in template_dirs:
            if not directory.is_dir():
                raise RenderError(f"{directory} is not a directory of templates.")
        self._directories = tuple(template_dirs)
        self._loader = TracingLoader(self._directories)
        self._environment = make_environment(self._loader)
        self._known: dict[str, frozenset[str] | None] = {}

    def render(self, name: str, *, script_name: str, changes: bool, **context: Any) -> Script:  # noqa: ANN401
        """Render one template.

        Args:
            name: such as `linux/arm.sh.j2`.
            script_name: what the script is called in the plan.
            changes: it may change the host.
            context: the values that the template may use; a missing one is an error.

        Raises:
            RenderError: names the template, the line and what is undefined.
        """
        with _explained(name, self._loader):
            used = self._used_by(name)
            # A template that computes the name of another is followed by loading it all anew.
            loader = self._loader if used is not None else TracingLoader(self._directories)
            environment = self._environment if used is not None else make_environment(loader)
            text = environment.get_template(name).render(context)
        origins = tuple(loader.used[key] for key in sorted(loader.used if used is None else used))
        return Script(name=script_name, text=text, changes=changes, templates=origins)

    def _used_by(self, name: str) -> frozenset[str] | None:
        """Return every template that one is made from, itself too; None where only rendering can tell."""
        if name not in self._known:
            self._known[name] = self._follow(name)
        return self._known[name]

    def _follow(self, name: str) -> frozenset[str] | None:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current in found:
                continue
            found.add(current)
            for other in self._loader.references(self._environment, current):
                if other is None:
                    return None
                waiting.append(other)
        return frozenset(found)


@contextmanager
def _explained(name: str, loader: TracingLoader) -> Iterator[None]:
    try:
        yield
    except jinja2.TemplateNotFound as error:
        raise RenderError(
            f"{name}: there is no template {error.name!r}.", next="See `fwfix templates list`."
        ) from error
    except jinja2.TemplateSyntaxError as error:
        raise RenderError(
            f"{error.filename or error.name or name}:{error.lineno}: {error.message}"
        ) from error
    except jinja2.TemplateError as error:
        raise RenderError(f"{_where(name, loader, error)}: {error.message}") from error
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        raise RenderError(f"{_where(name, loader, error)}: {error}") from error


def _where(name: str, loader: TracingLoader, error: BaseException) -> str:
    """Return file and line of the innermost template line in a traceback."""
    place = name
    traceback = error.__traceback__
    known = {str(loader.find(used)) for used in loader.used}
    while traceback is not None:
        # Jinja rewrites tracebacks so that frames of templates bear the template's own file and line.
        if traceback.tb_frame.f_code.co_filename in known:
            place = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
