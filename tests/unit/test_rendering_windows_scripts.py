"""The rules of a run as they are asked for, and the scripts that make them."""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

from fwfix.model.policy import Action, Protection, Protocol, Service
from fwfix.model.script import Script
from fwfix.rendering.environment import Renderer
from fwfix.rendering.windows import (
    WindowsContext,
    make_rules,
    observe_script,
    read_rules,
    rules_document,
    windows_scripts,
)

RUN = "20261121T220003Z-4f2a"


def wish(*allowed: str, port: int = 9100) -> Protection:
    return Protection(
        service=Service(protocol=Protocol.TCP, first=port, last=port),
        allowed=tuple(ip_network(text) for text in allowed),
        action=Action.DROP,
        log=False,
    )


def scripts(*wishes: Protection) -> Mapping[str, Script]:
    context = WindowsContext(run_id=RUN, protections=wishes, fwfix_version="0.1.0", desired="sha256:0")
    return windows_scripts(Renderer(), context)


def test_the_files_for_a_host_are_plain_ascii() -> None:
    made = scripts(wish("10.0.5.0/24"))
    assert made["rollback.ps1"].text.isascii()
    assert made["rollback.ps1"].text.strip() in made["arm"].text


def test_scripts_name_every_template_that_they_are_made_from() -> None:
    names = {origin.name for origin in scripts(wish())["arm"].templates}
    assert {"windows/arm.ps1.j2", "windows/host/rollback.ps1.j2", "windows/host/task.xml.j2"} <= names


def test_a_port_that_nobody_may_reach_is_one_rule_for_everybody() -> None:
    (rule,) = make_rules(RUN, (wish(),))
    assert (rule.name, rule.addresses, rule.who) == (f"fwfix-{RUN}-1", ("Any",), "everybody")


def test_a_long_allow_list_becomes_several_rules() -> None:
    allowed = [f"10.{n // 128}.{n % 128 * 2}.0/24" for n in range(1500)]
    rules = make_rules(RUN, (wish(*allowed), wish(port=515)))
    assert [rule.name.rpartition("-")[2] for rule in rules] == ["1", "2", "3"]
    assert all(len(rule.addresses) <= 2000 for rule in rules)


def test_rules_can_be_read_back_from_the_plan() -> None:
    rules = make_rules(RUN, (wish("10.0.5.0/24"), wish(port=515)))
    assert read_rules(rules_document(rules)) == rules


def test_nothing_reaches_a_script_but_through_the_filter() -> None:
    folder = Path(__file__).parents[2] / "templates" / "windows"
    for path in folder.rglob("*.ps1.j2"):
        for expression in re.findall(r"\{\{(.*?)\}\}", path.read_text()):
            quoted = expression.strip().endswith("| ps")
            # Comments, commas, and whole files, which come as here-strings.
            plain = (
                expression.strip() in {"run_id", "fwfix_version", "rollback", "task"} or "loop" in expression
            )
            assert quoted or plain, f"{path.name}: {expression}"


def test_templates_use_no_syntax_that_came_after_powershell_3() -> None:
    texts = [script.text for script in (*scripts(wish("10.0.5.0/24")).values(), observe_script(Renderer()))]
    for text in texts:
        code = "\n".join(line.partition("# ")[0] for line in text.splitlines())
        assert not re.search(r"\?\?|&&|\|\||\?\.|::new\(|-Parallel|-AsHashtable|-AsArray", code)
