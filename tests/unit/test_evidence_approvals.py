"""A bundle of evidence holds the approvals as files that ssh-keygen can check."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from fwfix.evidence import export_run
from fwfix.journal import Journal, RunStart

_RUN = "20261121T220003Z-4f2a"
_START = datetime(2026, 11, 21, 22, 0, 3, tzinfo=UTC)
_KEY = "SHA256:AG03iBioasgfO6vlylq9XTG5fKN0aOK2KBIJGkBM7tQ"


def _exported(tmp_path: Path, *, approved: bool) -> Path:
    with Journal.open(tmp_path / "state", now=lambda: _START) as journal:
        journal.start_run(
            RunStart(
                run_id=_RUN,
                command="apply",
                started_at=_START,
                operator="ops",
                controller="jump01",
                fwfix_version="0.1.0",
                hosts=(),
            )
        )
        if approved:
            body = {
                "principals": ["alice"],
                "key": _KEY,
                "file": "plan.json.x.sig",
                "signature": "armoured\n",
            }
            journal.append(_RUN, None, "approved", body)
        export_run(journal, _RUN, tmp_path / "bundle", now=_START)
    return tmp_path / "bundle"


def test_every_signature_is_a_file_of_the_bundle_and_in_its_manifest(tmp_path: Path) -> None:
    bundle = _exported(tmp_path, approved=True)
    (listed,) = json.loads((bundle / "approvals.json").read_text())
    assert (listed["principals"], listed["key"]) == (["alice"], _KEY)
    signature = (bundle / listed["signature"]).read_bytes()
    assert signature == b"armoured\n"
    digests = {
        each["path"]: each["sha256"] for each in json.loads((bundle / "manifest.json").read_text())["files"]
    }
    assert digests[listed["signature"]] == hashlib.sha256(signature).hexdigest()


def test_a_run_that_nobody_approved_has_no_such_files(tmp_path: Path) -> None:
    bundle = _exported(tmp_path, approved=False)
    assert not (bundle / "approvals.json").exists()
    assert not (bundle / "approvals").exists()
