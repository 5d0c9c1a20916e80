"""What paramiko alone needs for the same number of connections and commands as one `fwfix apply`."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import yaml

FORKS = 50
CONNECTIONS = (3, 2)


def visit(address: str, key: paramiko.PKey, known_hosts: str) -> None:
    """Log on twice, and run a command that does nothing as often as fwfix runs a script."""
    for commands in CONNECTIONS:
        client = paramiko.SSHClient()
        client.load_host_keys(known_hosts)
        client.connect(address, username="root", pkey=key, look_for_keys=False, allow_agent=False)
        for _ in range(commands):
            _, stdout, _ = client.exec_command("true")
            stdout.read()
        client.close()


def main() -> None:
    """Visit every host of an inventory."""
    directory = Path(sys.argv[1])
    inventory = yaml.safe_load((directory / "inventory.yaml").read_text())
    key = paramiko.Ed25519Key.from_private_key_file(str(directory / "identity"))
    known_hosts = str(directory / "known_hosts")
    addresses = [host["address"] for host in inventory["hosts"].values()]
    with ThreadPoolExecutor(max_workers=FORKS) as pool:
        for future in [pool.submit(visit, address, key, known_hosts) for address in addresses]:
            future.result()


main()
