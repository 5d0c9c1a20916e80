"""`fwfix templates check` says which line of which template is wrong, in our own and in a user's."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fwfix.cli.main import app
from fwfix.lint.check import check_templates, check_xml
from fwfix.lint.finding import Finding
from fwfix.lint.rendering import render_all
from fwfix.lint.shell import check_shell, shells
from fwfix.rendering.loader import builtin_templates


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["templates", "check", *words])


def own(folder: Path, name: str, old: str, new: str) -> int:
    """Put a changed copy of a built-in template into a folder; return the line of the change."""
    text = (builtin_templates() / name).read_text()
    assert old in text
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_the_built_in_templates_pass() -> None:
    done = run()
    assert done.stdout == ""
    assert done.exit_code == 0


def test_every_template_is_part_of_a_script() -> None:
    scripts, errors = render_all(())
    assert errors == ()
    used = {name for script in scripts for name in script.templates}
    root = builtin_templates()
    assert used == {path.relative_to(root).as_posix() for path in root.rglob("*.j2")}


def test_every_line_of_a_script_knows_its_template() -> None:
    scripts, _ = render_all(())
    root = builtin_templates()
    for script in scripts:
        assert len(script.places) == script.text.count("\n") + 1, script.name
    arm = next(each for each in scripts if each.name == "arm" and each.language == "powershell")
    for number, line in enumerate(arm.text.split("\n"), start=1):
        name, at = arm.place(number)
        if "function " in line:
            assert (root / name).read_text().splitlines()[at - 1] == line


# An own template of Windows with one error: what is changed, what is said of it, and what would be right.
ERRORS = {
    "parameter misspelt": (
        ("windows/parts/undo.ps1.j2", "Remove-NetFirewallRule -Name", "Remove-NetFirewallRule -Nam"),
        ("Remove-NetFirewallRule has no parameter -nam", "write -Name out"),
    ),
    "parameter of no cmdlet": (
        ("windows/parts/undo.ps1.j2", "Enable-NetFirewallRule -Name", "Enable-NetFirewallRule -Zork"),
        ("Enable-NetFirewallRule has no parameter -zork", "it takes -"),
    ),
    "parameter too new": (
        ("windows/observe.ps1.j2", "(Get-NetTCPConnection)", "(Get-NetTCPConnection -OwningProcess 4)"),
        ("no parameter -OwningProcess in PowerShell 3.0", "it takes -AppliedSetting, "),
    ),
    "common parameter too new": (
        ("windows/observe.ps1.j2", "(Get-Printer)", "(Get-Printer -InformationAction 'Ignore')"),
        ("no parameter -informationaction in PowerShell 3.0, 4.0", "it takes -AsJob, -CimSession"),
    ),
    "splatted parameter misspelt": (
        ("windows/apply.ps1.j2", "DisplayName =", "DisplaName ="),
        ("New-NetFirewallRule has no parameter -displaname", "did you mean -DisplayName?"),
    ),
    "cmdlet misspelt": (
        ("windows/apply.ps1.j2", "Disable-NetFirewallRule -Name", "Disable-NetFirewallRul -Name"),
        ("Disable-NetFirewallRul is no function of this script", "did you mean Disable-NetFirewallRule?"),
    ),
    "static member misspelt": (
        ("windows/parts/common.ps1.j2", "::ReadAllText(", "::ReadAlText("),
        ("[IO.File]::ReadAlText does not exist in .NET Framework 4.5", "did you mean ReadAllText?"),
    ),
    "member too new": (
        ("windows/confirm.ps1.j2", "$notes = @()", "$notes = @([Convert]::ToHexString(@(1)))"),
        ("[Convert]::ToHexString does not exist in .NET Framework 4.5", "did you mean "),
    ),
    "overload too new": (
        ("windows/host/rollback.ps1.j2", "$run + '\\rehearsed')", "$run + '\\rehearsed', $true)"),
        ("[IO.File]::Move takes ", "2 arguments in .NET Framework 4.5, not 3"),
    ),
    "method misspelt": (
        ("windows/rollback.ps1.j2", "[string]$given[0]", "([string]$given[0]).Trimm()"),
        ("[String].Trimm does not exist", "did you mean Trim?"),
    ),
    "type misspelt": (
        ("windows/apply.ps1.j2", "Collections.ArrayList", "Collections.ArayList"),
        ("[Collections.ArayList] is not a type of the dialect", "did you mean [Collections.ArrayList]?"),
    ),
    "property misspelt": (
        ("windows/observe.ps1.j2", "[string]$socket.RemoteAddress", "[string]$socket.RemotAddress"),
        ("nothing in the dialect has a property RemotAddress", "did you mean RemoteAddress?"),
    ),
    "property too new": (
        ("windows/observe.ps1.j2", "$service[0].Status", "$service[0].StartType"),
        ("nothing in the dialect has a property StartType", "did you mean "),
    ),
    "COM member misspelt": (
        ("windows/parts/common.ps1.j2", "$scheduler.Connect()", "$scheduler.Conect()"),
        ("[Schedule.Service].Conect does not exist", "did you mean connect?"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_in_an_own_template_is_named_with_file_line_and_what_would_be_right(
    tmp_path: Path, error: str
) -> None:
    (name, old, new), words = ERRORS[error]
    line = own(tmp_path, name, old, new)
    done = run(str(tmp_path))
    assert done.exit_code == 2
    (finding,) = done.stdout.splitlines()
    assert finding.startswith(f"{tmp_path / name}:{line}: ")
    for word in words:
        assert word in finding


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("windows", "$t = '{{ desired }}'", ("{{ desired }} goes into", "write {{ desired | ps }}")),
        ("windows", '$t = "of {{ fwfix_version }}."', ("write {{ fwfix_version | ps }}, without quotes",)),
        ("windows", "$t = {{ desired }}", ("write {{ desired | ps }}",)),
        ("windows", "$t = {{ desired | sh }}", ("goes into the script as it is",)),
        ("windows", '$t = "{{ desired | ps }}"', ("stands in quotes", "the filter ps sets its own")),
        ("linux", "t='{{ desired }}'", ("{{ desired }} goes into", "write {{ desired | sh }}")),
        ("linux", 't="it\'s # $(date) {{ iptables }}"', ("write {{ iptables | sh }}",)),
        ("linux", "t='{{ desired | sh }}'", ("stands in quotes", "the filter sh sets its own")),
        ("linux", "[ -n {{ desired }} ]", ("write {{ desired | sh }}",)),
        ("linux", "t='{{ desired.upper() }}'", ("write {{ desired.upper() | sh }}",)),
    ],
)
def test_a_value_that_is_quoted_by_hand_or_not_at_all_is_found_with_its_line(
    tmp_path: Path, name: str, line: str, words: tuple[str, ...]
) -> None:
    findings = _with_first_line(tmp_path, name, line)
    (found,) = {finding for finding in findings if "{{" in finding.message}
    assert found.line == 1
    assert all(word in found.message for word in words), found


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("windows", "$t = 'run {{ run_id }}'"),
        ("windows", "$t = @({{ files | default([desired]) | map('ps') | join(', ') }})"),
        ("windows", "{% set t = desired | ps %}$t = {{ t }} # desired: {{ desired }}"),
        ("linux", 't="{{ run_id }} $(echo {{ desired | sh }}) {{ files | length }}"'),
        ("linux", "t={{ '' if boot is defined else desired | sh }} # {{ desired }}"),
        ("linux", "{% macro word(value) %}{{ value | sh }}{% endmacro %}t={{ word(desired) }}"),
        ("linux", "{% if true %}\n# it's {{ desired }}\n{% endif %}"),
        ("linux", "cat <<'{{ delimiter }}'\n{{ desired }}\n{{ delimiter }}"),
    ],
)
def test_a_value_that_is_quoted_by_its_filter_or_needs_no_quotes_passes(
    tmp_path: Path, name: str, line: str
) -> None:
    assert not {finding for finding in _with_first_line(tmp_path, name, line) if "{{" in finding.message}


def _with_first_line(folder: Path, platform: str, line: str) -> tuple[Finding, ...]:
    """Check a script with one line in front of the built-in one."""
    name = f"{platform}/arm.{'ps1' if platform == 'windows' else 'sh'}.j2"
    target = folder / name
    target.parent.mkdir()
    target.write_text(f"{line}\n{(builtin_templates() / name).read_text()}")
    return check_templates([folder]).findings


def test_a_broken_shell_script_is_found_in_its_template(tmp_path: Path) -> None:
    name = "linux/parts/common.sh.j2"
    text = (builtin_templates() / name).read_text()
    target = tmp_path / name
    target.parent.mkdir(parents=True)
    target.write_text(text + "if true; then echo }; fi )\n")
    findings = check_templates([tmp_path]).findings
    assert {each.file for each in findings} == {str(target)}
    assert text.count("\n") + 1 in {each.line for each in findings}


def test_a_name_that_is_not_there_is_found_with_its_line(tmp_path: Path) -> None:
    line = own(tmp_path, "linux/apply.sh.j2", "{{ run_id | sh }}", "{{ runid | sh }}")
    findings = check_templates([tmp_path]).findings
    assert {(each.file, each.line) for each in findings} == {(str(tmp_path / "linux/apply.sh.j2"), line)}
    assert "runid" in findings[0].message


def test_broken_jinja_is_found(tmp_path: Path) -> None:
    own(tmp_path, "windows/confirm.ps1.j2", "{% for name in names %}", "{% for name of names %}")
    (finding,) = check_templates([tmp_path]).findings
    assert finding.file == str(tmp_path / "windows/confirm.ps1.j2")


def test_a_task_that_is_no_xml_is_found(tmp_path: Path) -> None:
    own(tmp_path, "windows/host/task.xml.j2", "</Settings>", "</Setings>")
    assert any("no XML" in each.message for each in check_templates([tmp_path]).findings)
    assert check_xml("<a/>") == ()


def test_a_template_that_nothing_uses_is_found(tmp_path: Path) -> None:
    target = tmp_path / "linux" / "aply.sh.j2"
    target.parent.mkdir()
    shutil.copy(builtin_templates() / "linux/apply.sh.j2", target)
    (finding,) = check_templates([tmp_path]).findings
    assert finding.message.endswith("did you mean linux/apply.sh.j2?")


def test_a_template_that_wraps_a_built_in_one_passes(tmp_path: Path) -> None:
    target = tmp_path / "linux" / "rollback.sh.j2"
    target.parent.mkdir()
    target.write_text('# Announced.\n{% include "builtin/linux/rollback.sh.j2" %}\n')
    assert check_templates([tmp_path]).findings == ()


def test_the_json_is_one_document_with_every_finding(tmp_path: Path) -> None:
    line = own(
        tmp_path, "windows/apply.ps1.j2", "Disable-NetFirewallRule -Name", "Disable-NetFirewallRul -Name"
    )
    done = run(str(tmp_path), "--json")
    assert done.exit_code == 2
    document = json.loads(done.stdout)
    (row,) = document["findings"]
    assert row["file"] == str(tmp_path / "windows/apply.ps1.j2")
    assert row["line"] == line
    assert document["scripts"] > 20


def test_a_folder_that_is_not_there_is_refused() -> None:
    done = run("/nowhere/at/all")
    assert done.exit_code != 0
    assert "/nowhere/at/all" in str(done.exception)


@pytest.mark.parametrize("source", ["if true; then\n", 'echo "x\n', "case x in\n", "f() {\n"])
def test_a_shell_that_is_here_refuses_broken_scripts(source: str) -> None:
    if not shells():
        pytest.skip("no POSIX shell is installed")
    assert check_shell("a=1\n" + source)
    assert check_shell("a=1\n") == ()
