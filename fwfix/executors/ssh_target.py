"""Where to connect, as whom and what to trust: the inventory over the user's ssh_config."""

from dataclasses import dataclass, replace
from pathlib import Path

from fwfix.model.host import HostKeyPolicy
from fwfix.secrets import SecretRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One sshd and everything that decides how we meet it.

    Attributes:
        name: how people call it: the inventory's or ssh_config's name.
        key_name: its name in known_hosts, without the port.
        aliased: HostKeyAlias gave `key_name`, so that no port is added to it.
        explicit_identities: key files that somebody named, best first.
        default_identities: the files that ssh tries when nobody names any.
        identity_agent: the agent's socket; empty for none.
        proxy_command: for the shell, every token replaced; empty for none.
        jumps: the hops in front of it, outermost first, as `user@host:port`.
        methods: the kinds of logon that ssh_config leaves, in ssh's words.
        password: with what to log on, where keys do not suffice.
    """

    name: str
    address: str
    port: int
    user: str
    key_name: str
    aliased: bool = False
    family: str = "any"
    bind_address: str = ""
    bind_interface: str = ""
    proxy_command: str = ""
    jumps: tuple[str, ...] = ()
    explicit_identities: tuple[Path, ...] = ()
    default_identities: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    identities_only: bool = False
    identity_agent: str = ""
    methods: tuple[str, ...] = ("publickey", "keyboard-interactive", "password")
    user_known_hosts: tuple[Path, ...] = ()
    global_known_hosts: tuple[Path, ...] = ()
    revoked_keys: Path | None = None
    hash_known_hosts: bool = False
    host_key: HostKeyPolicy = HostKeyPolicy.STRICT
    password: SecretRef | None = None
    passphrase: SecretRef | None = None

    @property
    def where(self) -> str:
        """The address and port, for people."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"

    @property
    def lookup_name(self) -> str:
        """Its name as known_hosts writes it."""
        if self.aliased or self.port == 22:  # noqa: PLR2004 - the port of ssh
            return self.key_name
        return f"[{self.key_name}]:{self.port}"

    def behind(self, *jumps: str) -> "Target":
        """Return the same target behind other hops; they replace a ProxyCommand."""
        return replace(self, jumps=jumps, proxy_command="")
