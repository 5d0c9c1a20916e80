"""Read the site's own limits: /etc/fwfix/site.yaml, which only root can write."""

import os
import stat
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from fwfix.errors import InventoryError, SiteError
from fwfix.loading.calendar import Calendar
from fwfix.loading.documents import ABSENT, ApprovalsEntry, Section
from fwfix.loading.fields import FileContext, Flag, Line, Number, Services, Version, resolve_path
from fwfix.loading.yaml_tree import Table, read_yaml
from fwfix.model.inventory import ApprovalRule, Inventory
from fwfix.model.site import Site

SITE_FILE = Path("/etc/fwfix/site.yaml")
VARIABLE = "FWFIX_SITE"
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class SiteDocument(Section):
    """A site.yaml."""

    version: Version = ABSENT
    approvals: ApprovalsEntry = ABSENT
    blackouts: list[Line] = Field(default_factory=list)
    forbidden_ports: list[Services] = Field(default_factory=list)
    max_hosts: Annotated[Number, Field()] = ABSENT
    ticket_required: Flag = ABSENT


def load_site(path: Path = SITE_FILE) -> Site:
    """Return the site's limits; the file that FWFIX_SITE names can only add to them.

    Raises:
        SiteError: a file is not what it should be; limits that cannot be read are never ignored.
    """
    site = _read(path, owner=0) if _exists(path) else Site()
    named = os.environ.get(VARIABLE)
    if named:
        # For tests: it cannot replace what root wrote, so that it is never looser.
        site = site.tightened(_read(Path(named), owner=os.geteuid()))
    return site


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise SiteError(f"cannot be looked at: {exc.strerror}", path=path) from exc
    return True


def _read(path: Path, *, owner: int) -> Site:
    _check_owner(path, owner)
    try:
        tree = read_yaml(path)
    except InventoryError as exc:
        raise SiteError(exc.message, next=exc.next) from exc
    context = FileContext(path=path, folder=path.resolve().parent)
    try:
        document = SiteDocument.model_validate(tree, context=context)
    except ValidationError as exc:
        raise _wrong(path, tree, exc) from None
    if not document.model_fields_set:
        # What a full disk leaves of a file must not lift every limit.
        raise SiteError("says nothing", path=path, next="Write version: 1, or remove the file.")
    site = _site_of(document, path, context.folder)
    try:
        Calendar(Inventory(hosts={}, groups={}, policies={}, blackouts=site.blackouts))
    except InventoryError as exc:
        raise SiteError(exc.message, path=path, next=exc.next) from exc
    return site


def _check_owner(path: Path, owner: int) -> None:
    """Refuse a file that somebody else could have written, on its own or through its folder."""
    try:
        found = path.stat()
        folder = path.resolve().parent.stat()
    except OSError as exc:
        raise SiteError(f"cannot be read: {exc.strerror}", path=path) from exc
    if not stat.S_ISREG(found.st_mode):
        # To read a FIFO waits for whoever writes into it.
        raise SiteError(
            "is not a regular file", path=path, next="Write the limits into a file, or remove it."
        )
    who = "root" if owner == 0 else f"user {owner}"
    if found.st_uid != owner:
        raise SiteError(f"belongs to user {found.st_uid}", path=path, next=f"It must belong to {who}.")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise SiteError("can be written by others than its owner", path=path, next=f"chmod go-w {path}")
    sticky = folder.st_mode & stat.S_ISVTX
    if folder.st_uid not in (0, owner) or (folder.st_mode & _OTHERS_MAY_WRITE and not sticky):
        raise SiteError("its folder can be written by others than its owner", path=path)


def _site_of(document: SiteDocument, path: Path, folder: Path) -> Site:
    said = document.model_fields_set
    rules: tuple[ApprovalRule, ...] = ()
    if document.approvals is not None:
        entry = document.approvals
        rules = (ApprovalRule(**{key: getattr(entry, key) for key in entry.model_fields_set}),)
    blackouts = [
        str(resolve_path(text, folder)) if text.lower().endswith(".ics") else text
        for text in document.blackouts
    ]
    return Site(
        approvals=rules,
        blackouts=tuple(dict.fromkeys(blackouts)),
        forbidden=tuple(dict.fromkeys(s for services in document.forbidden_ports for s in services)),
        most_hosts=document.max_hosts if "max_hosts" in said else None,
        ticket_required=document.ticket_required if "ticket_required" in said else False,
        sources=(str(path),),
    )


def _wrong(path: Path, tree: Table, error: ValidationError) -> SiteError:
    first = error.errors(include_url=False, include_input=False)[0]
    keys = [str(part) for part in first["loc"]]
    line = tree.lines.get(keys[0]) if keys else None
    if first["type"] == "extra_forbidden":
        known = SiteDocument if len(keys) == 1 else ApprovalsEntry
        message = f"unknown key {keys[-1]!r}; valid keys: {', '.join(known.model_fields)}"
    else:
        message = f"{'.'.join(keys)}: {first['msg'].removeprefix('Value error, ')}"
    return SiteError(message, path=path, line=line)
