"""What cmd.exe does with a line, and which program it finds."""

import threading
from dataclasses import dataclass

import pytest

from fwfix.lab.windows.cmd import (
    Collector,
    Environment,
    InputPipe,
    Interpreter,
    Invocation,
    Job,
    KilledError,
    Machine,
    ProcessTable,
    User,
    standard_programs,
)
from fwfix.lab.windows.cmd.environment import default_environment
from fwfix.lab.windows.cmd.programs import split_arguments

MACHINE = Machine(name="PRINT01", addresses=("192.0.2.7", "2001:db8::7"))
UNKNOWN = "is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"


@dataclass(frozen=True, kw_only=True)
class Ran:
    code: int
    out: str
    err: str


class Arguments:
    def start(self, call: Invocation, /) -> int:
        call.say("|".join(call.args) + "\n")
        return len(call.args)


def invocation(
    *, codepage: int = 437, stdin: bytes = b"", administrator: bool = True, limit: int = 25
) -> tuple[Invocation, Collector, Collector]:
    user = User(name="Administrator", domain="PRINT01", administrator=administrator)
    out, err = Collector(), Collector()
    call = Invocation(
        name="cmd.exe",
        args=(),
        tail="",
        stdin=InputPipe(stdin, closed=True),
        stdout=out,
        stderr=err,
        environment=default_environment(MACHINE, user),
        cwd=r"C:\Users\Administrator",
        codepage=codepage,
        machine=MACHINE,
        user=user,
        job=Job(ProcessTable(limit=limit)),
        programs=standard_programs().having({"args.exe": Arguments(), r"D:\tools\far.exe": Arguments()}),
    )
    return call, out, err


def run(line: str, **changes: object) -> Ran:
    call, out, err = invocation(**changes)
    code = Interpreter(call).run(line)
    encoding = "utf-8" if changes.get("codepage") == 65001 else "cp437"
    return Ran(code=code, out=out.value.decode(encoding), err=err.value.decode(encoding))


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("echo hi", "hi\r\n"),
        ("cmd.exe /c echo hi", "hi\r\n"),
        ('cmd /c "echo hi & echo ho"', "hi \r\nho\r\n"),
        ("echo  two  blanks ", " two  blanks \r\n"),
        ("echo.", "\r\n"),
        ("echo", "ECHO is on.\r\n"),
        ("echo a&echo b", "a\r\nb\r\n"),
        ("echo a^&b ^> c", "a&b > c\r\n"),
        ('echo "a & b"', '"a & b"\r\n'),
        ("echo a|more", "a\r\n"),
        ("echo a>nul& echo b", "b\r\n"),
        ("echo %COMPUTERNAME% %computername%", "PRINT01 PRINT01\r\n"),
        ("echo %NOPE% 100%", "%NOPE% 100%\r\n"),
        ("echo %OS:~0,3%-%OS:~-2%-%OS:windows=W%", "Win-NT-W_NT\r\n"),
        ("set XQ=1& set xq", "XQ=1\r\n"),
        ("cmd /c set userd", "USERDOMAIN=PRINT01\r\n"),
        ("ver", "\r\nMicrosoft Windows [Version 10.0.17763.1]\r\n"),
        ("cd /d C:\\Windows & cd", "C:\\Windows\r\n"),
        ("hostname", "PRINT01\r\n"),
        ("HostName.EXE", "PRINT01\r\n"),
        (r"C:\Windows\System32\hostname.exe", "PRINT01\r\n"),
        (r'"C:\WINDOWS\sysnative\hostname"', "PRINT01\r\n"),
        ("%windir%\\system32\\hostname", "PRINT01\r\n"),
        ("whoami", "print01\\administrator\r\n"),
        ("chcp", "Active code page: 437\r\n"),
        ("rem nothing & echo all of it", ""),
    ],
)
def test_a_line_writes_what_it_writes_on_windows(line: str, written: str) -> None:
    assert run(line) == Ran(code=0, out=written, err="")


def test_output_and_errors_go_where_the_redirections_send_them() -> None:
    assert run("cmd.exe /c echo out && echo err>&2 && exit 1") == Ran(code=1, out="out \r\n", err="err \r\n")
    assert run("nosuch 2>&1").out == f"'nosuch' {UNKNOWN}"
    assert run("nosuch 2>nul") == Ran(code=1, out="", err="")


@pytest.mark.parametrize("name", ["nosuch", "powershell", r"C:\Windows\nosuch.exe", "far"])
def test_what_is_not_there_is_not_recognized(name: str) -> None:
    assert run(f"{name} -x") == Ran(code=1, out="", err=f"'{name}' {UNKNOWN}")


def test_a_program_outside_of_path_is_found_by_its_path_or_when_path_names_its_folder() -> None:
    assert run(r"D:\tools\far a").code == 1
    assert run(r"D:\tools\far a").out == "a\r\n"
    assert run(r"set PATH=%PATH%;D:\tools& far a b").out == "a|b\r\n"
    assert run(r"set PATH=D:\tools& hostname").err == f"'hostname' {UNKNOWN}"


@pytest.mark.parametrize(
    ("line", "code", "written"),
    [
        ("exit 3", 3, ""),
        ("exit /b 4", 4, ""),
        ("args 1 2 && echo no", 2, "1|2\r\n"),
        ("args 1 2 || echo yes", 2, "1|2\r\nyes\r\n"),
        ("args || echo no && echo yes", 0, "\r\nyes\r\n"),
        ("args 1 & echo a && echo b", 1, "1\r\na \r\nb\r\n"),
        ("exit 3 & echo never", 3, ""),
        ("exit 3 | more & echo after", 0, "after\r\n"),
    ],
)
def test_exit_codes_join_commands(line: str, code: int, written: str) -> None:
    assert run(line) == Ran(code=code, out=written, err="")


def test_a_line_of_8191_characters_runs_and_a_longer_one_is_too_long() -> None:
    line = "echo " + "x" * (8191 - 5)
    assert run(line).out == "x" * (8191 - 5) + "\r\n"
    assert run(line + "x") == Ran(code=1, out="", err="The command line is too long.\r\n")


def test_a_line_that_its_variables_make_too_long_does_not_run() -> None:
    assert run("echo " + "%OS%" * 2000) == Ran(code=1, out="", err="The input line is too long.\r\n")


def test_a_variable_that_holds_an_operator_is_that_operator() -> None:
    call, out, _ = invocation()
    call.environment["X"] = "a & echo b"
    Interpreter(call).run("echo %x%")
    assert out.value == b"a \r\nb\r\n"


@pytest.mark.parametrize(("codepage", "written"), [(65001, "é✓\r\n"), (437, "é?\r\n")])
def test_text_is_written_in_the_code_page_of_the_shell(codepage: int, written: str) -> None:
    assert run("echo é✓", codepage=codepage).out == written


def test_an_unset_variable_of_set_is_an_error() -> None:
    assert run("set nope") == Ran(code=1, out="", err="Environment variable nope not defined\r\n")


@pytest.mark.parametrize(
    "line", ["if 1==1 echo yes", "for %i in (1) do echo %i", "del x", "set /a 1+1", "type x"]
)
def test_what_windows_has_and_the_twin_has_not_fails_loudly(line: str) -> None:
    ran = run(line)
    assert (ran.code, ran.out) == (255, "")
    assert "does not know" in ran.err


@pytest.mark.parametrize("line", ["&& echo a", "echo a && && echo b", "| more", "(echo a)", "echo a >"])
def test_a_line_that_cannot_be_read_runs_nothing(line: str) -> None:
    ran = run(line)
    assert (ran.code, ran.out) == (255, "")
    assert ran.err


def test_a_file_cannot_be_written_by_redirection() -> None:
    assert run("echo a > file.txt") == Ran(code=1, out="", err="Access is denied.\r\n")


@pytest.mark.parametrize(("administrator", "level"), [(True, "S-1-16-12288"), (False, "S-1-16-8192")])
def test_the_groups_of_a_user_say_whether_it_is_elevated(*, administrator: bool, level: str) -> None:
    assert level in run("whoami /groups /fo csv /nh", administrator=administrator).out


def test_ipconfig_shows_the_addresses_of_the_host() -> None:
    shown = run("ipconfig/all").out
    assert "Windows IP Configuration" in shown
    assert all(address in shown for address in MACHINE.addresses)


@pytest.mark.parametrize(
    ("tail", "arguments"),
    [
        (' a "b c"  d', ("a", "b c", "d")),
        (r' "a\"b" c\\ "d\\"', ('a"b', "c\\\\", "d\\")),
        (' ""', ("",)),
        (' -c "x', ("-c", "x")),
        (r" C:\a\ b", ("C:\\a\\", "b")),
        ("", ()),
    ],
)
def test_arguments_are_split_as_the_c_runtime_of_windows_splits_them(
    tail: str, arguments: tuple[str, ...]
) -> None:
    assert split_arguments(tail) == arguments


def test_a_program_past_the_quota_of_processes_does_not_start() -> None:
    ran = run("cmd /c cmd /c hostname", limit=2)
    assert (ran.code, ran.out, ran.err) == (
        1,
        "",
        "Not enough quota is available to process this command.\r\n",
    )


def test_a_kill_ends_a_process_that_sleeps_and_one_that_reads() -> None:
    for line in ("ping -n 600 127.0.0.1", "more"):
        call, _, _ = invocation()
        pipe = InputPipe()
        call.job.on_kill(pipe.kill)
        waiting = Invocation(**{name: getattr(call, name) for name in Invocation.__slots__} | {"stdin": pipe})
        ended: list[BaseException] = []

        def work(waiting: Invocation = waiting, line: str = line, ended: list[BaseException] = ended) -> None:
            try:
                Interpreter(waiting).run(line)
            except KilledError as error:
                ended.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        call.job.kill()
        thread.join(5)
        assert not thread.is_alive()
        assert len(ended) == 1
        assert not call.job.processes.running


def test_names_of_variables_have_no_case_and_keep_their_spelling() -> None:
    variables = Environment({"Path": "a"})
    variables["PATH"] = "b"
    assert dict(variables) == {"Path": "b"}
    assert variables["path"] == "b"
    copied = variables.copy()
    del copied["pAtH"]
    assert "Path" in variables
    assert "Path" not in copied
