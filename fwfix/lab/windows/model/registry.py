"""The part of HKLM that the model has; a key beyond it is refused, not absent."""

from collections.abc import Mapping

from fwfix.lab.windows.model.facts import Facts
from fwfix.lab.windows.model.firewall import Firewall
from fwfix.lab.windows.model.knobs import PROFILES
from fwfix.lab.windows.model.policy import Profile
from fwfix.lab.windows.powershell.signals import NotInDialect

_FIREWALL = r"system\currentcontrolset\services\sharedaccess\parameters\firewallpolicy"
_POLICY = r"software\policies\microsoft\windowsfirewall"
_SYSTEM = r"software\microsoft\windows\currentversion\policies\system"
_KEYS = {"Domain": "domainprofile", "Private": "standardprofile", "Public": "publicprofile"}
_POLICY_KEYS = {"Domain": "domainprofile", "Private": "privateprofile", "Public": "publicprofile"}
_VERSION = r"software\microsoft\windows nt\currentversion"
_MACHINE = r"software\microsoft\cryptography"
_ABSENT = (
    _SYSTEM, r"software\policies\microsoft\windows\powershell", r"software\policies\microsoft\mdm",
    r"system\currentcontrolset\services\sharedaccess\parameters\firewallpolicy\mdm",
    r"software\puppet labs", r"software\microsoft\ccm", r"software\microsoft\policymanager",
)  # fmt: skip


class HostRegistry:
    """The hive of one host, made from the model at every look."""

    def __init__(self, firewall: Firewall, facts: Facts) -> None:
        self._firewall = firewall
        self._facts = facts

    def values(self, path: str) -> Mapping[str, object] | None:
        """Return a key's values, None if there is no such key.

        Raises:
            NotInDialect: the model does not know whether Windows has the key.
        """
        key = path.lower().strip("\\").replace("controlset001", "currentcontrolset")
        if key == f"{_FIREWALL}\\firewallrules":
            return dict(self._firewall.registry(group=False))
        if key == f"{_POLICY}\\firewallrules":
            return dict(self._firewall.registry(group=True)) or None
        for name in PROFILES:
            if key == f"{_FIREWALL}\\{_KEYS[name]}":
                return _local(self._firewall.local_profiles[name])
            if key in (f"{_POLICY}\\{_POLICY_KEYS[name]}", f"{_POLICY}\\{_KEYS[name]}"):
                return _policy(self._firewall.group_profiles[name])
            if key == f"{_POLICY}\\{_POLICY_KEYS[name]}\\globallyopenports":
                merge = self._firewall.group_profiles[name].allow_user_ports
                return None if merge is None else {"AllowUserPrefMerge": int(merge)}
        return self._system(key)

    def _system(self, key: str) -> Mapping[str, object] | None:
        if key == _MACHINE:
            return {"MachineGuid": self._facts.machine_id}
        if key == _VERSION:
            build = self._facts.version.rpartition(".")[2]
            return {
                "ProductName": self._facts.caption.removeprefix("Microsoft "),
                "CurrentBuild": build,
                "CurrentBuildNumber": build,
            }
        if key == _POLICY:
            profiles = self._firewall.group_profiles.values()
            known = any(_policy(profile) for profile in profiles) or self._firewall.registry(group=True)
            return {} if known else None
        if any(key == known or key.startswith(known + "\\") for known in _ABSENT):
            return None
        raise NotInDialect(f"the registry key HKLM:\\{key}")


def _local(profile: Profile) -> Mapping[str, object]:
    found: dict[str, object] = {
        "EnableFirewall": int(profile.enabled is not False),
        "DisableNotifications": 1,
        "DoNotAllowExceptions": int(profile.allow_inbound is False),
    }
    if profile.default_inbound is not None:
        found["DefaultInboundAction"] = int(profile.default_inbound == "Block")
    if profile.disabled_interfaces:
        raise NotInDialect("excluded interfaces in the registry")
    return found


def _policy(profile: Profile) -> Mapping[str, object] | None:
    found: dict[str, object] = {}
    if profile.enabled is not None:
        found["EnableFirewall"] = int(profile.enabled)
    if profile.allow_local_rules is not None:
        found["AllowLocalPolicyMerge"] = int(profile.allow_local_rules)
    # A key that has only a key below it (GloballyOpenPorts) is there as well.
    return found if found or profile.allow_user_ports is not None else None
