"""Every command, parameter, type and member of our Windows scripts is looked at: misspelt, it is found.

What counts as a use is told here by plain patterns on the text, not by what the lint itself sees.
"""

import functools
import re
from collections import Counter, defaultdict

import pytest

from fwfix.lint.powershell import check_powershell
from fwfix.lint.rendering import render_all
from fwfix.lint.surface import cmdlet_names
from fwfix.lint.tree import find, parse

SCRIPTS = ("observe", "arm", "apply", "confirm", "rollback", "rollback.ps1")
# Behind a name, a bracket or a quote; numbers and names of files have no members.
_MEMBER = r"(?<=[\w)\]'\"])(?<![0-9])\.(?P<word>[A-Za-z_]\w*)"
_RULE = "Name DisplayName Description Group Direction Action Enabled Profile Protocol LocalPort RemoteAddress"
USES = {
    "commands": r"(?<![\w.$'-])(?<!function )(?P<word>[A-Z][a-z]+-[A-Z][A-Za-z]+|[a-z]+\.exe)(?![\w.])",
    "parameters": r"(?<=[\s(])-(?P<word>[A-Z][A-Za-z]+)",
    "splatted": rf"(?<=[\s;{{])(?P<word>{_RULE.replace(' ', '|')}) = ",
    "types": r"\[(?P<word>(?:[A-Z][A-Za-z]*\.)*[A-Za-z]+)(?=(?:\[\])?\](?:::|[\s$(@'\"]|\)))",
    "made": r"New-Object (?:-ComObject )?'?(?P<word>[A-Za-z][\w.]+)",
    "statics": r"\]::(?P<word>[A-Za-z]+)",
    "methods": _MEMBER + r"(?=\()",
    "properties": _MEMBER + r"\b(?!\()",
}
# `params` in .NET.
TAKE_ANY_NUMBER = {"Trim", "TrimStart", "TrimEnd", "Split"}


@functools.cache
def scripts() -> dict[str, list[str]]:
    """Return every Windows script that is ever rendered, by name."""
    rendered, errors = render_all(())
    assert errors == ()
    found: dict[str, list[str]] = defaultdict(list)
    for each in rendered:
        if each.language == "powershell":
            found[each.name].append(each.text)
    return found


@functools.cache
def code(text: str) -> str:
    """Return a script with blanks for what is in its comments and strings, but for what strings compute."""
    assert text.isascii()
    left = list(text)
    literals = ("verbatim_string_characters", "verbatim_here_string_characters", "expandable_string_literal")
    for node in find(parse(text), "comment", *literals):
        computed = [range(each.start_byte, each.end_byte) for each in find(node, "sub_expression")]
        for at in range(node.start_byte + 1, node.end_byte - 1):
            if left[at] != "\n" and not any(at in each for each in computed):
                left[at] = " "
    return "".join(left)


def uses(kind: str, text: str) -> list[tuple[int, str]]:
    """Return where each use stands, and its word."""
    blanked = code(text)
    if kind == "splatted" and "New-NetFirewallRule @" not in blanked:
        return []
    # What is made is named in quotes: there the text counts, where the word in front of it is code.
    found = [
        each
        for each in re.finditer(USES[kind], text if kind == "made" else blanked)
        if blanked[each.start()] == text[each.start()]
    ]
    types = {at for at, _ in uses("types", text)} if kind == "properties" else set()
    return [
        (each.start("word"), each["word"])
        for each in found
        if not any(at < each.start() and blanked[at : each.start()].isidentifier() for at in types)
        if not blanked[each.start() : each.end()].endswith(".exe")
    ]


def suffix(number: int) -> str:
    """Return letters of its own for each number: the grammar takes no digits in names of parameters."""
    return "q" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:03}") + "x"


def line_of(text: str, at: int) -> int:
    return text[:at].count("\n") + 1


@pytest.mark.parametrize("kind", USES)
@pytest.mark.parametrize("name", SCRIPTS)
def test_each_word_misspelt_is_found_on_its_line(name: str, kind: str) -> None:
    for text in scripts()[name]:
        found = uses(kind, text)
        changed = text
        for number, (at, word) in reversed(list(enumerate(found))):
            # A word of its own for each, so that no finding stands for another.
            end = at + len(word)
            changed = changed[:end] + suffix(number) + changed[end:]
        said = [(each.line, each.message.lower()) for each in check_powershell(changed)] if found else []
        missed = [
            (line_of(text, at), word)
            for number, (at, word) in enumerate(found)
            if not any(
                line == line_of(text, at) and (word + suffix(number)).lower() in message
                for line, message in said
            )
        ]
        assert missed == []


def test_all_scripts_are_looked_at_and_have_uses_of_every_kind() -> None:
    assert tuple(sorted(scripts())) == tuple(sorted(SCRIPTS))
    total = {kind: sum(len(uses(kind, texts[0])) for texts in scripts().values()) for kind in USES}
    least = {"splatted": 11, "made": 6, "methods": 90, "statics": 150, "parameters": 120}
    assert {kind: total[kind] >= least.get(kind, 200) for kind in USES} == dict.fromkeys(USES, True), total


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_parameter_that_came_later_is_found_at_every_cmdlet(name: str) -> None:
    known = {cmdlet.lower() for cmdlet in cmdlet_names()}
    for text in scripts()[name]:
        changed = text
        calls = [(at, word) for at, word in uses("commands", text) if word.lower() in known]
        for at, word in reversed(calls):
            end = at + len(word)
            changed = f"{changed[:end]} -InformationAction 'Ignore'{changed[end:]}"
        expected = {
            (line_of(text, at), f"{word} has no parameter -informationaction in powershell 3.0, 4.0".lower())
            for at, word in calls
        }
        said = {(each.line, each.message.partition(";")[0].lower()) for each in check_powershell(changed)}
        assert expected - said == set()


@pytest.mark.parametrize("kind", ["statics", "methods"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_an_overload_that_came_later_is_found_at_every_method(name: str, kind: str) -> None:
    for text in scripts()[name]:
        changed = text
        calls = [
            (at, word)
            for at, word in uses(kind, text)
            if text[at + len(word)] == "(" and word not in TAKE_ANY_NUMBER
        ]
        for at, word in reversed(calls):
            end = at + len(word) + 1
            # No overload of the framework takes nine more.
            more = ", ".join(["$null"] * 9) + ("" if text[end] == ")" else ", ")
            changed = changed[:end] + more + changed[end:]
        said = Counter(each.line for each in check_powershell(changed) if "arguments" in each.message)
        assert {line_of(text, at) for at, _ in calls} - set(said) == set()
