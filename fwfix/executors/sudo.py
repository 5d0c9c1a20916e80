"""Become the administrator through sudo, without a password ever meeting a script (B29)."""

import re

from fwfix.errors import PrivilegeError
from fwfix.executors.frame import BOOTSTRAP, Parcel, command_line
from fwfix.secrets import Secret

_FIRST = (
    "LC_ALL=C;PATH=$PATH:/usr/local/bin:/usr/bin:/bin;export LC_ALL PATH;"
    'b=$1;u=$2;shift 2;echo;echo "$1-$2:U";'
)
# Another account than root is the administrator under a second name, or of no use: it could neither read the
# payload nor change the firewall. A name that `id` does not know is left to sudo.
_ONLY_ROOT = (
    'i=$(id -u "$u" 2>/dev/null);'
    'case $i in ""|0);;*)echo;echo "$1-$2:A";exit 91;;esac;'
)  # fmt: skip
_RUN = ' -u "$u" -- /bin/sh -c "$b" fwfix '
_WITHOUT_PASSWORD = "exec sudo -n" + _RUN + '"" "$SSH_CONNECTION" "$@"'
# The shell's own `read` takes the first line and nothing more; the rest waits in a private file. Only the
# password goes into sudo, through the shell's own printf, so that it stands in no argument list; then stdin
# ends, so that there is one attempt. The root shell removes the file as soon as it has read it.
_WITH_PASSWORD = (
    "umask 077;"
    'case $(command -v printf) in printf);;*)echo;echo "$1-$2:P";exit 94;;esac;'
    "IFS= read -r w||exit 95;"
    "for d in /tmp /var/tmp /dev/shm;do t=$(mktemp $d/fwfix.XXXXXXXXXX)&&break;done;"
    'if test -z "$t";then echo;echo "$1-$2:T";exit 93;fi;'
    'trap "rm -f $t" 0;trap "exit 92" 1 2 13 15;cat>$t;'
    '{ printf %s "$w";echo;}|sudo -S -p ""' + _RUN + '"$t" "$SSH_CONNECTION" "$@"'
)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}", re.ASCII)
# sudo repeats the whole command where it refuses it.
_COMMAND = re.compile(r"execute '.*' as", re.DOTALL)

_REJECTED = ("incorrect password attempt", "Sorry, try again", "incorrect authentication")
_REFUSALS = (
    ("a password is required", "Set become_password in the inventory, or allow it with NOPASSWD."),
    ("not in the sudoers file", "Add the account to sudoers on the host."),
    ("is not allowed to", "Allow /bin/sh for the account in sudoers on the host: {allow}."),
    ("may not run sudo", "Add the account to sudoers on the host."),
    ("must have a tty", "Turn requiretty off for the account in sudoers: Defaults:{user} !requiretty."),
    ("no tty present", "Set become_password in the inventory, or allow it with NOPASSWD."),
    ("account validation failure", "The account is expired or locked on the host."),
    ("unknown user", "Correct become_user in the inventory."),
    ("sudo: not found", "Install sudo on the host, or log on as root with become: none."),
    ("sudo: command not found", "Install sudo on the host, or log on as root with become: none."),
)


def direct(parcel: Parcel) -> str:
    """Return the command line where the account is the administrator already."""
    return command_line(BOOTSTRAP, "", "", *parcel.head, *parcel.arguments)


def through_sudo(parcel: Parcel, *, become_user: str, with_password: bool) -> str:
    """Return the command line that goes through sudo."""
    if not _USER.fullmatch(become_user):
        raise PrivilegeError(
            f"{become_user!r} is no user name for sudo.", next="Correct become_user in the inventory."
        )
    check = "" if become_user == "root" else _ONLY_ROOT
    first = _FIRST + check + (_WITH_PASSWORD if with_password else _WITHOUT_PASSWORD)
    return command_line(first, BOOTSTRAP, become_user, *parcel.head, *parcel.arguments)


def stdin_of(parcel: Parcel, password: Secret | None) -> bytes:
    """Return what goes through stdin: the password's line where one is needed, then the payload."""
    if password is None:
        return parcel.payload
    line = password.reveal()
    if "\n" in line or "\0" in line:
        raise PrivilegeError("The sudo password holds a line break, which sudo cannot read.")
    return line.encode() + b"\n" + parcel.payload


def was_rejected(stderr: str) -> bool:
    """Tell whether sudo said that the password is wrong."""
    return any(text in stderr for text in _REJECTED)


def refusal(stderr: str, *, user: str) -> PrivilegeError:
    """Say why sudo did not start the script and what to do."""
    said = tail(_COMMAND.sub("execute /bin/sh as", stderr))
    for text, advice in _REFUSALS:
        if text in stderr:
            allow = f"{user} ALL=(root) /bin/sh"
            return PrivilegeError(f"sudo refused: {said}", next=advice.format(user=user, allow=allow))
    return PrivilegeError(
        f"sudo did not start the script: {said}", next=f"Try `sudo -l` as {user} on the host."
    )


def tail(text: str, *, limit: int = 400) -> str:
    """Return the last lines of what a host said, on one line, without control characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    joined = " | ".join(lines[-4:])
    clean = "".join(char if char.isprintable() else "?" for char in joined)
    return clean[-limit:] or "(it said nothing)"
