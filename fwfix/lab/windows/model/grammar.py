"""Rules as the registry has them: the grammar of MS-GPFAS 2.2.2.19."""

from fwfix.lab.windows.model import rules, values
from fwfix.lab.windows.model.errors import UnknownToModelError
from fwfix.lab.windows.model.rules import BYPASS, Rule

# What Windows writes per version; readers take any.
VERSIONS = {"3.0": "v2.20", "4.0": "v2.22", "5.1": "v2.29"}
_ACTIONS = ("Allow", "Block", BYPASS)
_KNOWN = frozenset(
    {
        *("Action", "Active", "Dir", "Protocol", "Profile", "LPort", "LPort2_10", "RPort", "RPort2_10"),
        *("LA4", "LA6", "RA4", "RA6", "App", "Svc", "Name", "Desc", "EmbedCtxt"),
    }
)


def rule_text(rule: Rule, *, version: str = "v2.29") -> str:
    """Return the registry value of a rule.

    Raises:
        UnknownToModelError: a condition on interfaces, whose form in the registry the model does not have.
    """
    if rule.interfaces or rule.interface_type:
        raise UnknownToModelError("a rule about interfaces in the registry")
    fields = [
        ("Action", rule.action),
        ("Active", "TRUE" if rule.enabled else "FALSE"),
        ("Dir", "In" if rule.inbound else "Out"),
    ]
    if rule.protocol is not None:
        fields.append(("Protocol", str(rule.protocol)))
    fields += [("Profile", name) for name in rule.profiles]
    fields += [("LPort2_10" if "-" in port else "LPort", port) for port in rule.local_ports]
    fields += [("RPort2_10" if "-" in port else "RPort", port) for port in rule.remote_ports]
    fields += [field for word in rule.local_addresses for field in _address("L", word)]
    fields += [field for word in rule.remote_addresses for field in _address("R", word)]
    texts = (
        ("App", rule.program),
        ("Svc", rule.service),
        ("Name", rule.display_name),
        ("Desc", rule.description),
        ("EmbedCtxt", rule.group),
    )
    fields += [field for field in texts if field[1]]
    return version + "|" + "".join(f"{key}={value}|" for key, value in fields)


def _address(side: str, word: str) -> list[tuple[str, str]]:
    if word == values.LOCAL_SUBNET:
        return [(f"{side}A4", word), (f"{side}A6", word)]
    return [(f"{side}A6" if ":" in word else f"{side}A4", word)]


def parse_rule(name: str, text: str) -> Rule:
    """Read a registry value.

    Raises:
        UnknownToModelError: it has a field that the model does not have.
    """
    version, *parts = text.rstrip("|").split("|")
    if not version.startswith("v2."):
        raise UnknownToModelError(f"a rule of version {version!r}")
    fields: dict[str, list[str]] = {}
    for part in parts:
        key, _, value = part.partition("=")
        if key not in _KNOWN:
            raise UnknownToModelError(f"the field {key} of a rule")
        fields.setdefault(key, []).append(value)

    def one(key: str, default: str = "") -> str:
        return fields.get(key, [default])[0]

    if one("Action") not in _ACTIONS:
        raise UnknownToModelError(f"the action {one('Action')} of a rule")
    protocol = int(one("Protocol")) if "Protocol" in fields else None
    remote = dict.fromkeys([*fields.get("RA4", []), *fields.get("RA6", [])])
    local = dict.fromkeys([*fields.get("LA4", []), *fields.get("LA6", [])])
    return Rule(
        name=name,
        display_name=one("Name", name),
        description=one("Desc"),
        group=one("EmbedCtxt"),
        enabled=one("Active").upper() == "TRUE",
        inbound=one("Dir") == "In",
        action=one("Action"),
        profiles=rules.check_profiles(tuple(fields.get("Profile", []))),
        protocol=protocol,
        local_ports=values.ports(_all(fields, "LPort"), protocol=protocol),
        remote_ports=values.ports(_all(fields, "RPort"), protocol=protocol),
        local_addresses=values.addresses(list(local)),
        remote_addresses=values.addresses(list(remote)),
        program=one("App"),
        service=one("Svc"),
    )


def _all(fields: dict[str, list[str]], key: str) -> list[str]:
    return [*fields.get(key, []), *fields.get(f"{key}2_10", [])]
