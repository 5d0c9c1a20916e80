"""/run/netns is left as it was found, also where iproute2 works in it at the same time."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_possible")]

# In a mount namespace with a /run of its own, so that no other lab of this machine is in the way.
_ALONE = """
import sys
from pathlib import Path
from fwfix.lab.linux import HostSpec, Lab
import os, subprocess

def names():
    folder = Path("/run/netns")
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else None

def lines():
    return [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]

# What other labs have lies hidden below our own /run.
hidden = {words[0] for words in lines()}

def mounts():
    return [words[4] for words in lines() if words[4].startswith("/run/netns") and words[0] not in hidden]

def ip(*words):
    subprocess.run(["ip", "netns", *words], check=True)

def lab(number):
    made = Lab(Path(sys.argv[1], str(number)), keep=False)
    made.network = __import__("fwfix.lab.network", fromlist=["Network"]).Network.create(made.directory)
    made._made = True
    return made
"""
_WITH_A_STRANGER = """
one = lab(1)
assert len(mounts()) == 1 + len(names()), mounts()
ip("add", "stranger")
two = lab(2)
ip("exec", one.network.switch, "true")
one.close()
two.close()
assert names() == ["stranger"], names()
ip("del", "stranger")
assert names() == [] and mounts() == ["/run/netns"]
"""
_ALONE_IN_IT = """
one = lab(1)
two = lab(2)
one.close()
assert len(names()) == 2
two.close()
assert names() is None and mounts() == [], mounts()
"""
_AFTER_IPROUTE = """
ip("add", "stranger")
before = mounts()
one = lab(1)
one.close()
assert names() == ["stranger"] and mounts() == before, mounts()
ip("del", "stranger")
assert names() == [] and mounts() == ["/run/netns"]
"""
_NAMES_OF_OTHERS = """
os.makedirs("/run/netns")
Path("/run/netns/stranger").touch()
subprocess.run(["unshare", "--net=/run/netns/stranger", "true"], check=True)
one = lab(1)
one.close()
assert names() == ["stranger"] and mounts() == ["/run/netns/stranger"], mounts()
subprocess.run(["umount", "/run/netns/stranger"], check=True)
Path("/run/netns/stranger").unlink()
"""


@pytest.mark.parametrize(
    "what",
    [_WITH_A_STRANGER, _ALONE_IN_IT, _AFTER_IPROUTE, _NAMES_OF_OTHERS],
    ids=["stranger-comes", "nobody-else", "stranger-was-first", "names-without-a-mount"],
)
def test_nothing_of_a_lab_stays_in_run_netns_and_nothing_of_others_goes(what: str, tmp_path: Path) -> None:
    start = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    alone = 'mount -t tmpfs tmpfs /run && exec "$@"'
    done = subprocess.run(
        [*start, alone, "sh", sys.executable, "-c", _ALONE + what, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
