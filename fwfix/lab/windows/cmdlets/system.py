"""Services, processes, sockets, networks, printers, and the few classes of CIM that are known."""

from collections.abc import Sequence
from ipaddress import ip_interface

from fwfix.lab.windows.cmdlets import types
from fwfix.lab.windows.cmdlets.base import Scene, StandIn, has_wildcard, matches, not_found
from fwfix.lab.windows.cmdlets.types import named
from fwfix.lab.windows.model.facts import Printer, Service
from fwfix.lab.windows.powershell import EnumValue, Invocation, NotInDialect, PSObject, cim_instance
from fwfix.lab.windows.powershell.times import DateTime, from_python
from fwfix.lab.windows.powershell.values import enumerate_value

_COMMANDS = "Microsoft.PowerShell.Commands."
_SERVICE_STATUS = "System.ServiceProcess.ServiceControllerStatus"


def _services(scene: Scene, call: Invocation) -> None:
    services = list(scene.host.facts.services.values())
    wanted = call.texts("Name")
    for word in wanted:
        if has_wildcard(word):
            continue
        if not any(matches(service.name, word) for service in services):
            call.write_error(
                f"Cannot find any service with service name '{word}'.",
                "NoServiceFoundForGivenName",
                category="ObjectNotFound",
                kind=_COMMANDS + "ServiceCommandException",
                target=word,
            )
    if not wanted or any(has_wildcard(word) for word in wanted):
        raise NotInDialect("a list of services: the model has only a few")
    for service in services:
        if any(matches(service.name, word) for word in wanted):
            call.write(_service(call, service, scene.version))


def _service(call: Invocation, service: Service, version: str) -> PSObject:
    kind = call.engine.types.find(_SERVICE_STATUS)
    state = call.engine.convert.to("Running" if service.running else "Stopped", kind) if kind else None
    pairs: list[tuple[str, object]] = [
        ("Name", service.name),
        ("ServiceName", service.name),
        ("DisplayName", service.display_name),
        ("Status", state),
    ]
    if version == "5.1":
        pairs.append(("StartType", "Automatic" if service.automatic else "Manual"))
    name = "System.ServiceProcess.ServiceController"
    return PSObject(pairs, type_names=(name, "System.Object"), net_type=name)


def _processes(scene: Scene, call: Invocation) -> None:
    if not call.has("Id"):
        raise NotInDialect("Get-Process without -Id: the model has only a few processes")
    for number in _numbers(call, "Id"):
        process = scene.host.facts.process(number)
        if process is None:
            call.write_error(
                f"Cannot find a process with the process identifier {number}.",
                "NoProcessFoundForGivenId",
                category="ObjectNotFound",
                kind=_COMMANDS + "ProcessCommandException",
                target=number,
            )
            continue
        name = "System.Diagnostics.Process"
        pairs: list[tuple[str, object]] = [
            ("Id", process.pid),
            ("Name", process.name),
            ("ProcessName", process.name),
            ("Path", process.path),
        ]
        call.write(PSObject(pairs, type_names=(name, "System.Object"), net_type=name))


def _numbers(call: Invocation, name: str) -> list[int]:
    value = call.get(name)
    items = enumerate_value(value)
    found = [value] if items is None else list(items)
    return [item for item in found if isinstance(item, int)]


def _tcp(scene: Scene, call: Invocation) -> None:
    rows = list(scene.host.facts.sockets().tcp)
    if call.has("LocalAddress"):
        rows = [row for row in rows if row.local_address in call.texts("LocalAddress")]
    for name in ("LocalPort", "RemotePort", "OwningProcess"):
        if call.has(name):
            wanted = _numbers(call, name)
            read = {"LocalPort": "local_port", "RemotePort": "remote_port", "OwningProcess": "pid"}[name]
            rows = [row for row in rows if getattr(row, read) in wanted]
    if call.has("State"):
        wanted_states = [state.lower() for state in call.texts("State")]
        rows = [row for row in rows if row.state.lower() in wanted_states]
    asked = next((name for name in ("LocalAddress", "LocalPort", "State") if call.has(name)), None)
    if not rows and asked is not None:
        not_found(call, asked, "")
    for row in rows:
        pairs: list[tuple[str, object]] = [
            ("LocalAddress", row.local_address),
            ("LocalPort", row.local_port),
            ("RemoteAddress", row.remote_address),
            ("RemotePort", row.remote_port),
            ("State", named(types.TCP_STATE, row.state)),
            ("OwningProcess", row.pid),
        ]
        call.write(cim_instance("MSFT_NetTCPConnection", pairs))


def _udp(scene: Scene, call: Invocation) -> None:
    rows = list(scene.host.facts.sockets().udp)
    if call.has("LocalPort"):
        wanted = _numbers(call, "LocalPort")
        rows = [row for row in rows if row.local_port in wanted]
        if not rows:
            not_found(call, "LocalPort", "")
    for row in rows:
        pairs: list[tuple[str, object]] = [
            ("LocalAddress", row.local_address),
            ("LocalPort", row.local_port),
            ("OwningProcess", row.pid),
        ]
        call.write(cim_instance("MSFT_NetUDPEndpoint", pairs))


def _connection_profiles(scene: Scene, call: Invocation) -> None:
    for interface in scene.host.interfaces:
        pairs: list[tuple[str, object]] = [
            ("Name", interface.network),
            ("InterfaceAlias", interface.alias),
            ("InterfaceIndex", interface.index),
            ("NetworkCategory", named(types.CATEGORY, interface.category)),
        ]
        call.write(cim_instance("MSFT_NetConnectionProfile", pairs))


def _addresses(scene: Scene, call: Invocation) -> None:
    families = [family.lower() for family in call.texts("AddressFamily")]
    loopback = (
        ("Loopback Pseudo-Interface 1", 1, "127.0.0.1/8"),
        ("Loopback Pseudo-Interface 1", 1, "::1/128"),
    )
    rows = [(each.alias, each.index, text) for each in scene.host.interfaces for text in each.addresses]
    for alias, index, text in (*rows, *loopback):
        address = ip_interface(text)
        family = f"IPv{address.version}" if address.version == 6 else "IPv4"  # noqa: PLR2004 - IPv6
        if families and family.lower() not in families:
            continue
        pairs: list[tuple[str, object]] = [
            ("IPAddress", str(address.ip)),
            ("InterfaceAlias", alias),
            ("InterfaceIndex", index),
            ("AddressFamily", EnumValue(types.FAMILY, 23 if address.version == 6 else 2)),  # noqa: PLR2004
            ("PrefixLength", address.network.prefixlen),
            ("AddressState", named(types.ADDRESS_STATE, "Preferred")),
            ("PrefixOrigin", named(types.PREFIX_ORIGIN, "WellKnown" if index == 1 else "Manual")),
            ("SuffixOrigin", named(types.SUFFIX_ORIGIN, "WellKnown" if index == 1 else "Manual")),
        ]
        call.write(cim_instance("MSFT_NetIPAddress", pairs))


def _printers(scene: Scene, call: Invocation) -> None:
    for printer in _chosen(call, scene.host.facts.printers):
        pairs = [("Name", printer.name), ("PortName", printer.port_name), ("DriverName", printer.driver)]
        call.write(cim_instance("MSFT_Printer", pairs))


def _printer_ports(scene: Scene, call: Invocation) -> None:
    if call.has("Name"):
        raise NotInDialect("Get-PrinterPort of a name")
    for printer in scene.host.facts.printers:
        pairs: list[tuple[str, object]] = [
            ("Name", printer.port_name),
            ("PrinterHostAddress", printer.host_address or None),
            ("PortNumber", printer.port_number),
        ]
        call.write(cim_instance("MSFT_TcpIpPrinterPort", pairs))


def _chosen(call: Invocation, printers: Sequence[Printer]) -> list[Printer]:
    if call.has("Name"):
        raise NotInDialect("Get-Printer of a name")
    return list(printers)


def _cim(scene: Scene, call: Invocation) -> None:
    facts, name = scene.host.facts, call.text("ClassName").lower()
    if call.has("Namespace") and call.text("Namespace").lower().replace("/", "\\") != "root\\cimv2":
        raise NotInDialect(f"the CIM namespace {call.text('Namespace')}")
    if name == "win32_operatingsystem":
        booted = DateTime(from_python(facts.booted).ticks, "Local")
        now = DateTime(from_python(scene.host.clock.now()).ticks, "Local")
        pairs: list[tuple[str, object]] = [
            ("Caption", facts.caption),
            ("Version", facts.version),
            ("BuildNumber", facts.version.rpartition(".")[2]),
            ("CSName", facts.name),
            ("ProductType", 3),
            ("LastBootUpTime", booted),
            ("LocalDateTime", now),
        ]
        call.write(cim_instance("Win32_OperatingSystem", pairs))
    elif name == "win32_computersystem":
        joined = facts.domain != "WORKGROUP"
        pairs = [("Name", facts.name), ("Domain", facts.domain), ("PartOfDomain", joined)]
        call.write(cim_instance("Win32_ComputerSystem", pairs))
    else:
        raise NotInDialect(f"the CIM class {call.text('ClassName')}")


STAND_INS = (
    StandIn(name="Get-Service", body=_services, obeys=("Name",), error_name=_COMMANDS + "GetServiceCommand"),
    StandIn(name="Get-Process", body=_processes, obeys=("Id",), error_name=_COMMANDS + "GetProcessCommand"),
    StandIn(
        name="Get-NetTCPConnection",
        body=_tcp,
        obeys=("LocalAddress", "LocalPort", "RemotePort", "OwningProcess", "State"),
    ),
    StandIn(name="Get-NetUDPEndpoint", body=_udp, obeys=("LocalPort",)),
    StandIn(name="Get-NetConnectionProfile", body=_connection_profiles),
    StandIn(name="Get-NetIPAddress", body=_addresses, obeys=("AddressFamily",)),
    StandIn(name="Get-Printer", body=_printers, obeys=("Name",)),
    StandIn(name="Get-PrinterPort", body=_printer_ports, obeys=("Name",)),
    StandIn(
        name="Get-CimInstance",
        body=_cim,
        obeys=("ClassName", "Namespace"),
        error_name="Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand",
    ),
)
