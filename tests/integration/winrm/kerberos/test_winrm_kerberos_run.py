"""The installed command on tickets alone: hosts with and without TLS, in one run."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from fwfix.lab.windows.twin import Twin, TwinSpec
from fwfix.lab.windows.wsman import CertificateWish, write_self_signed

if TYPE_CHECKING:
    from conftest import Realm

    from fwfix.lab.linux import HostSpec, Lab

pytestmark = pytest.mark.lab

SERVER = "win-1.corp.example"


class Site:
    """Twins with both kinds of listeners, and the command in a process that knows the realm."""

    def __init__(self, folder: Path, lab: "Lab", realm: "Realm", cache: Path) -> None:
        self.folder = folder
        self.lab = lab
        self.realm = realm
        self.environment = {**realm.environment, "KRB5CCNAME": f"FILE:{cache}"}
        self.twins: list[Twin] = []

    def start(self) -> None:
        hosts = {}
        for scheme in ("http", "https"):
            member = self.lab.network.join(scheme)
            tls = write_self_signed(self.folder, scheme, CertificateWish(names=(SERVER,)))
            spec = TwinSpec(
                name=scheme,
                netns=member.netns,
                cidr=member.cidr,
                cidr6=member.cidr6,
                user="ops",
                password="unused",
                domain="CORP",
                tls=tls,
                keytab=self.realm.keytab,
            )
            self.twins.append(Twin(spec))
            self.twins[-1].start()
            trust = {"ca_file": str(tls.certificate)} if scheme == "https" else {}
            winrm = {"transport": "kerberos", "server_name": SERVER, "scheme": scheme, **trust}
            hosts[scheme] = {"address": member.address, "platform": "windows", "winrm": winrm}
        wanted = {
            "version": 1,
            "defaults": {"policy": "printing"},
            "policies": {"printing": {"ports": ["jetdirect"], "allow_from": [*self.lab.network.strangers]}},
            "hosts": hosts,
        }
        (self.folder / "inventory.yaml").write_text(yaml.safe_dump(wanted))

    def fwfix(self, *arguments: str, code: int = 0) -> Any:  # noqa: ANN401 - JSON
        """Run a command on the inventory; return its document."""
        start = [sys.executable, "-m", "fwfix", "--state-dir", "journal", *arguments]
        ended = subprocess.run(
            [*start, "-i", "inventory.yaml", "--json"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ended.returncode == code, (ended.stdout, ended.stderr)
        return json.loads(ended.stdout)

    def seen(self) -> set[str]:
        addresses: Sequence[str] = [each for twin in self.twins for each in twin.spec.machine.addresses]
        return {self.lab.outside.connect(address, 9100, 0.5) for address in addresses}

    def close(self) -> None:
        for twin in self.twins:
            twin.close()
            assert twin.server.crashes == []


@pytest.fixture
def site(
    realm: "Realm", cache: Path, make_lab: "Callable[[Sequence[HostSpec]], Lab]", tmp_path: Path
) -> Iterator[Site]:
    made = Site(tmp_path, make_lab([]), realm, cache)
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_a_run_goes_there_and_back_on_tickets_alone(site: Site) -> None:
    def outcomes(*arguments: str) -> set[str]:
        return {host["outcome"] for host in site.fwfix(*arguments)["hosts"]}

    assert outcomes("plan") == {"change"}
    assert site.seen() == {"open"}
    assert outcomes("apply", "--yes") == {"applied"}
    assert site.seen() == {"filtered"}
    assert outcomes("rollback", "--yes") == {"rolled_back"}
    assert site.seen() == {"open"}
    used = {(each.name, each.via, each.accepted) for twin in site.twins for each in twin.server.book.logons}
    assert used == {("ops", "kerberos", True)}


def test_the_doctor_sees_the_logon_work_and_says_what_to_type_without_a_ticket(site: Site) -> None:
    def logon(code: int) -> dict[str, str]:
        (host,) = site.fwfix("doctor", "https", code=code)["hosts"]
        return next(check for check in host["checks"] if check["check"] == "logon")

    assert logon(0)["status"] == "ok"
    site.environment["KRB5CCNAME"] = f"FILE:{site.folder}/nowhere"
    assert "kinit && klist" in logon(3)["next"]
