"""Cut an answer out of the noise, and start a script through any shell."""

import shutil
import subprocess
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.executors import sudo
from fwfix.executors.frame import BOOTSTRAP, FrameReader, Reached, cksum, command_line, pack
from fwfix.model.script import Invocation, Script
from fwfix.secrets import Secret

MARKER = b"aaaa-bbbb"


def invocation(text: str, *arguments: str, **attachments: str) -> Invocation:
    return Invocation(
        script=Script(name="x", text=text, changes=False), arguments=arguments, attachments=attachments
    )


def read(*chunks: bytes, keep: int = 1 << 20) -> FrameReader:
    reader = FrameReader(MARKER, keep=keep)
    for chunk in chunks:
        reader.feed(chunk)
    return reader


@given(st.binary(max_size=3000))
def test_the_checksum_is_that_of_posix(text: bytes) -> None:
    value = 0
    length = len(text)
    tail = length.to_bytes((length.bit_length() + 7) // 8, "little")
    for byte in text + tail:
        value ^= byte << 24
        for _ in range(8):
            value = ((value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    assert cksum(text) == (value ^ 0xFFFFFFFF, length)


def test_the_checksum_is_that_of_the_command() -> None:
    text = "it's é\n".encode() * 1000
    done = subprocess.run(["cksum"], input=text, capture_output=True, check=True)
    assert done.stdout == "{} {}\n".format(*cksum(text)).encode()


@given(st.text(max_size=200), st.integers(min_value=1, max_value=64))
def test_an_answer_is_found_in_any_noise_and_in_any_pieces(body: str, size: int) -> None:
    text = (
        b"noise aaaa bbbb\n\nbanner\naaaa-bbbb:U\n\naaaa-bbbb:B\n" + body.encode() + b"\naaaa-bbbb:E7\nbye\n"
    )
    reader = read(*(text[at : at + size] for at in range(0, len(text), size)))
    assert (reader.reached, reader.exit_code) == (Reached.ENDED, 7)
    assert reader.text == body


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        (b"", Reached.NOTHING),
        (b"This account is currently not available.\n", Reached.NOTHING),
        (b"\naaaa-bbbb:U\n", Reached.USER_SHELL),
        (b"\naaaa-bbbb:U\n\naaaa-bbbb:C\n", Reached.CUT),
        (b"\naaaa-bbbb:B\nsome", Reached.BEGAN),
        (b"\naaaa-bbbb:B\nsome\naaaa-bbbb:E0", Reached.BEGAN),
        (b"\naaaa-bbbb:E0\n", Reached.ENDED),
        (b"\nbbbb-aaaa:B\n\nbbbb-aaaa:E0\n", Reached.NOTHING),
    ],
)
def test_nothing_but_the_last_line_is_success(text: bytes, reached: Reached) -> None:
    assert read(text).reached is reached


def test_a_stream_keeps_its_last_part_only() -> None:
    reader = read(b"\naaaa-bbbb:B\n", *[b"x" * 100] * 100, b"end", keep=500)
    assert reader.overflowed
    assert reader.text.endswith("xend")
    assert len(reader.text) == 500


def test_no_character_that_a_login_shell_may_read_in_its_own_way_is_in_the_command_line() -> None:
    for with_password, become_user in product((False, True), ("root", "toor")):
        parcel = pack(invocation("it's\n!"))
        line = sudo.through_sudo(parcel, become_user=become_user, with_password=with_password)
        assert not set("\\!\n") & set(line)
        assert line.count("'") % 2 == 0


def test_the_password_is_in_front_of_the_payload_and_nowhere_else() -> None:
    parcel = pack(invocation("echo"))
    assert sudo.stdin_of(parcel, Secret("pass word'")) == b"pass word'\necho"
    assert sudo.stdin_of(parcel, None) == b"echo"
    assert "pass" not in sudo.through_sudo(parcel, become_user="root", with_password=True).replace(
        "pass_", ""
    )


SHELLS = ["sh", "dash", "bash", "busybox", "ksh", "zsh", "fish", "tcsh"]


@pytest.mark.parametrize("outer", SHELLS)
@pytest.mark.parametrize("inner", ["dash", "bash --posix", "busybox ash", "ksh"])
def test_a_script_runs_the_same_in_every_shell_under_every_login_shell(outer: str, inner: str) -> None:
    words = inner.split()
    if shutil.which(outer) is None or shutil.which(words[0]) is None:
        pytest.skip("not installed")
    text = 'printf \'%s|\' "$0" $# "$@"; fwfix_attachment a.sh; cat; exit 5 # it\'s é\\!\n'
    parcel = pack(
        Invocation(
            script=Script(name="x", text=text, changes=False),
            arguments=("a,b", ""),
            attachments={"a.sh": "o'ö\n\n"},
        )
    )
    line = command_line(BOOTSTRAP, "", "", *parcel.head, *parcel.arguments)
    line = line.replace("/bin/sh", f"{shutil.which(words[0])} {' '.join(words[1:])}", 1)
    shell = [outer, "sh"] if outer == "busybox" else [outer]
    done = subprocess.run(
        [*shell, "-c", line], input=parcel.payload, capture_output=True, timeout=20, check=False
    )
    reader = FrameReader(parcel.marker, keep=1 << 20)
    reader.feed(done.stdout)
    assert (reader.reached, reader.exit_code, done.returncode) == (Reached.ENDED, 5, 5)
    assert reader.text == "fwfix|2|a,b||o'ö\n\n"
    cut = subprocess.run(
        [*shell, "-c", line], input=parcel.payload[:-1], capture_output=True, timeout=20, check=False
    )
    assert cut.returncode == 96


@pytest.mark.parametrize("name", ["", "a b", "../x", "a'b", "*"])
def test_an_attachment_needs_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        pack(Invocation(script=Script(name="x", text="", changes=False), attachments={name: ""}))


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("sudo: a password is required\n", "become_password"),
        ("ops is not in the sudoers file.\n", "sudoers"),
        ("sudo: sorry, you must have a tty to run sudo\n", "requiretty"),
        ("/bin/sh: 1: exec: sudo: not found\n", "Install sudo"),
        ("Sorry, user ops is not allowed to execute '/bin/sh -c LC_ALL=C' as root on x.\n", "Allow /bin/sh"),
        ("something new\n", "sudo -l"),
    ],
)
def test_a_refusal_of_sudo_says_what_to_do(said: str, advice: str) -> None:
    error = sudo.refusal(said, user="ops")
    assert advice in error.next
    assert "LC_ALL" not in error.message
