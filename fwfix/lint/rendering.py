"""Renders every script for hosts of all kinds, and keeps in mind which line came from which template."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import jinja2

from fwfix.errors import RenderError
from fwfix.model.observation import PublishedPort
from fwfix.model.policy import Action, Family, Protection, Protocol, Service
from fwfix.model.script import Script
from fwfix.rendering import linux, windows
from fwfix.rendering.environment import Renderer
from fwfix.rendering.loader import Source, TracingLoader

_RUN = "20261121T220003Z-4f2a"
_BOTH = (Family.IPV4, Family.IPV6)
_MARK = re.compile("\x01([0-9]+):([0-9]+)\x02")
_WITHOUT_SHELL = ("rules.v4", "rules.v6", "rules.nft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A script with the template and line of each of its lines, and every template it was made from.

    Attributes:
        language: `sh`, `powershell`, `xml`, or empty where nobody here can check it.
    """

    name: str
    language: str
    text: str
    places: tuple[tuple[str, int], ...]
    templates: frozenset[str]

    def place(self, line: int) -> tuple[str, int]:
        """Return template and line of a line of the script, 1-based."""
        return self.places[min(max(line, 1), len(self.places)) - 1] if self.places else (self.name, line)


class MarkingLoader(jinja2.BaseLoader):
    """Puts a mark with template and line at the end of every line of text of a template."""

    def __init__(self, loader: TracingLoader) -> None:
        self._loader = loader
        self.names: list[str] = []

    def get_source(self, environment: jinja2.Environment, template: str) -> Source:
        """Return the marked text."""
        source, path, fresh = self._loader.get_source(environment, template)
        if template not in self.names:
            self.names.append(template)
        number = self.names.index(template)
        marked = []
        for line, kind, value in environment.lex(source, template):
            text = str(value)
            if kind == "data":
                pieces = text.split("\n")
                last = len(pieces) - 1
                text = "\n".join(
                    piece if at == last else f"{piece}\x01{number}:{line + at}\x02"
                    for at, piece in enumerate(pieces)
                )
            marked.append(text)
        return "".join(marked), path, fresh


class MarkingRenderer(Renderer):
    """A renderer whose scripts carry marks."""

    def __init__(self, directories: Sequence[Path]) -> None:
        super().__init__(directories)
        self.marks = MarkingLoader(self._loader)
        self._environment.loader = self.marks


Languages = Iterable[tuple[str, Script]]
Maker = Callable[[Renderer], Languages]


def read_marks(text: str, names: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Return the template and line of each line of a marked script."""
    places: list[tuple[str, int]] = []
    for line in text.split("\n"):
        if (found := _MARK.search(line)) is not None:
            places.append((names[int(found[1])], int(found[2])))
        else:
            # Only values stand in it: it belongs to the line before.
            places.append(places[-1] if places else (names[0] if names else "", 1))
    return tuple(places)


def render_all(directories: Sequence[Path]) -> tuple[tuple[Rendered, ...], tuple[str, ...]]:
    """Return every script for every kind of host, each text once, and what could not be rendered."""
    found: dict[tuple[str, str], Rendered] = {}
    errors: dict[str, None] = {}
    plain, marking = Renderer(directories), MarkingRenderer(directories)
    for make in _makers():
        try:
            scripts = tuple(make(plain))
        except RenderError as error:
            errors[str(error)] = None
            continue
        marked = _marked(make, marking)
        for number, (language, script) in enumerate(scripts):
            places = read_marks(marked[number], marking.marks.names) if marked else ()
            if len(places) != script.text.count("\n") + 1:
                places = ()
            found.setdefault(
                (language, script.text),
                Rendered(
                    name=script.name,
                    language=language,
                    text=script.text,
                    places=places,
                    templates=frozenset(origin.name for origin in script.templates),
                ),
            )
    return tuple(found.values()), tuple(errors)


def _marked(make: Maker, renderer: Renderer) -> tuple[str, ...]:
    """Render with marks; nothing where a filter of a template does not take them."""
    try:
        return tuple(script.text for _, script in make(renderer))
    except RenderError:
        return ()


def _makers() -> Iterator[Maker]:
    yield lambda renderer: [
        ("sh", linux.observe_script(renderer)),
        ("sh", renderer.render("linux/connect.sh.j2", script_name="connect", changes=False)),
    ]
    for context in _linux_hosts():
        yield lambda renderer, context=context: _of_linux(renderer, context)  # type: ignore[misc]
    yield lambda renderer: [("powershell", windows.observe_script(renderer))]
    for host in _windows_hosts():
        yield lambda renderer, host=host: _of_windows(renderer, host)  # type: ignore[misc]


def _of_linux(renderer: Renderer, context: linux.LinuxContext) -> Languages:
    for name, script in linux.linux_scripts(renderer, context).items():
        yield "" if name in _WITHOUT_SHELL else "sh", script


def _of_windows(renderer: Renderer, context: windows.WindowsContext) -> Languages:
    for name, script in windows.windows_scripts(renderer, context).items():
        if name != "rules.json":
            yield "powershell", script
    task = renderer.render(
        "windows/host/task.xml.j2", script_name="task.xml", changes=True, run_id=context.run_id
    )
    yield "xml", task


def _protection(text: str, *allowed: str, action: Action = Action.DROP, log: bool = False) -> Protection:
    ports, _, protocol = text.partition("/")
    first, _, last = ports.partition("-")
    service = Service(protocol=Protocol(protocol), first=int(first), last=int(last or first))
    return Protection(
        service=service, allowed=tuple(ip_network(each) for each in allowed), action=action, log=log
    )


def _policies() -> tuple[tuple[Protection, ...], ...]:
    return (
        (_protection("9100/tcp"),),
        (
            _protection("9100/tcp", "10.0.5.0/24", "fd00:5::/64", log=True),
            _protection("8610-8614/udp", "10.0.5.7/32", action=Action.REJECT, log=True),
            _protection("8610-8614/tcp", action=Action.REJECT),
        ),
    )


def _published() -> tuple[PublishedPort, ...]:
    port = PublishedPort(
        protocol=Protocol.TCP, family=Family.IPV4, port=9100, target="172.17.0.2:80", covered=True
    )
    six = PublishedPort(
        protocol=Protocol.TCP, family=Family.IPV6, port=9100, target="[fd00::2]:80", covered=True
    )
    return (port, six)


def _linux_hosts() -> Iterator[linux.LinuxContext]:
    backends: tuple[linux.Backend, ...] = ("iptables", "nft")
    for backend in backends:
        for protections in _policies():
            for families, published in ((_BOTH, _published()), ((Family.IPV4,), ())):
                yield linux.LinuxContext(
                    run_id=_RUN,
                    backend=backend,
                    protections=protections,
                    families=families,
                    published=published,
                    iptables="/usr/sbin/iptables",
                    ip6tables="/usr/sbin/ip6tables",
                    fwfix_version="0.1.0",
                    desired="sha256:00",
                )


def _windows_hosts() -> Iterator[windows.WindowsContext]:
    for protections in _policies():
        yield windows.WindowsContext(
            run_id=_RUN, protections=protections, fwfix_version="0.1.0", desired="sha256:00"
        )
