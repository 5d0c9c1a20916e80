"""Who has approved a plan: the signatures beside it, and whether they are what is demanded."""

import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fwfix.errors import PlanFileError, RefusedError
from fwfix.model.plan import Plan
from fwfix.model.site import Demand
from fwfix.model.wording import plural
from fwfix.signing import (
    PLAN_NAMESPACE,
    SignatureProblemError,
    Signed,
    file_part,
    names_of,
    principals_of,
    signing_key,
)

_SUDO = " (sudo)"
# A signature of the longest RSA key takes about 3 kB; one with a certificate a little more.
_LARGEST = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature as it was found, beside a plan or in the journal."""

    name: str
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One signature that counts, or why it does not.

    Attributes:
        principals: under which names the signer is listed everywhere where he has to be.
        problem: why it does not count; empty if it does.
    """

    signature: Signature
    key: str
    principals: tuple[str, ...] = ()
    problem: str = ""

    @property
    def who(self) -> str:
        """The name of the signer, for people."""
        return f"{self.principals[0]} ({self.key})" if self.principals else self.key


def signature_path(plan: Path, signed: Signed) -> Path:
    """Return where a signature lies: `PLAN.<key fingerprint>.sig`."""
    return plan.with_name(f"{plan.name}.{file_part(signed.key)}.sig")


def signatures_beside(plan: Path) -> tuple[Signature, ...]:
    """Read every signature that lies beside a plan.

    Raises:
        PlanFileError: one of them cannot be read.
    """
    return tuple(_read_all(signature_files(plan)))


def signature_files(plan: Path) -> tuple[Path, ...]:
    """Return the signatures that lie beside a plan.

    Raises:
        PlanFileError: its folder cannot be looked into.
    """
    folder = plan.parent
    if not folder.is_dir():
        return ()
    wanted = f"{plan.name}."
    try:
        beside = tuple(folder.iterdir())
    except OSError as exc:
        raise PlanFileError(
            f"its folder cannot be searched for signatures: {exc.strerror}",
            path=plan,
            next="Let fwfix list that folder, or move the plan and its signatures.",
        ) from exc
    found = (each for each in beside if each.name.startswith(wanted) and each.suffix == ".sig")
    return tuple(sorted(each for each in found if not _is_beside_longer(each, plan)))


def _is_beside_longer(signature: Path, plan: Path) -> bool:
    """Tell whether a signature belongs to another file, whose name begins as the plan's does."""
    name = signature.name.removesuffix(".sig")
    while len(name) > len(plan.name):
        if plan.with_name(name).is_file():
            return True
        name = name.rpartition(".")[0]
    return False


def _read_all(paths: Iterable[Path]) -> Iterator[Signature]:
    for path in paths:
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
                raise PlanFileError("is not a signature", path=path)
            # Mail and editors change line ends, which ssh-keygen does not read; those of the plan are signed.
            yield Signature(name=path.name, text=path.read_bytes().replace(b"\r\n", b"\n"))
        except OSError as exc:
            raise PlanFileError(f"cannot be read: {exc.strerror}", path=path) from exc


def refuse_foreign(content: bytes, signatures: Sequence[Signature]) -> dict[str, str]:
    """Refuse a plan beside which somebody signed something else; return each signature's key by name.

    Raises:
        RefusedError: the plan was changed after it was signed, or the signature belongs to another plan.
    """
    keys: dict[str, str] = {}
    for each in signatures:
        try:
            keys[each.name] = signing_key(each.text, content, namespace=PLAN_NAMESPACE)
        except SignatureProblemError as problem:
            raise RefusedError(
                f"{each.name} does not sign this plan: the plan was changed after it was signed, or the"
                f" signature is for another plan ({problem})",
                next="Have the plan approved as it is, and remove signatures that do not belong to it.",
                code="bad-signature",
            ) from None
    return keys


def examine(
    content: bytes, signatures: Sequence[Signature], plan: Plan, demand: Demand
) -> tuple[Approval, ...]:
    """Say of every signature whether it counts; signatures for other bytes are refused before.

    Raises:
        RefusedError: as for `refuse_foreign`.
        UsageError: a list of signers cannot be read.
    """
    keys = refuse_foreign(content, signatures)
    listed = tuple(_listed(content, each, keys[each.name], demand) for each in signatures)
    known = {each.key: _identity(each.key, demand).union(each.principals) for each in listed}
    author = _author(listed, plan, demand)
    found: list[Approval] = []
    for each in listed:
        problem = each.problem
        if not problem and not demand.author_may_approve and _is_by(known[each.key], author):
            problem = "the author of a plan may not approve it"
        if not problem and any(known[each.key] & known[other.key] for other in found if not other.problem):
            problem = "the same person or key has approved already"
        found.append(
            Approval(signature=each.signature, key=each.key, principals=each.principals, problem=problem)
        )
    return tuple(found)


def require(
    content: bytes, signatures: Sequence[Signature], plan: Plan, demand: Demand
) -> tuple[Approval, ...]:
    """Return the approvals that count.

    Raises:
        RefusedError: there are not enough of them; says what is wrong with those that do not count.
    """
    examined = examine(content, signatures, plan, demand)
    counting = tuple(each for each in examined if not each.problem)
    if len(counting) < demand.required:
        wrong = "".join(f"; {each.signature.name}: {each.problem}" for each in examined if each.problem)
        counted = f"{len(counting)} counts" if len(counting) == 1 else f"{len(counting)} count"
        raise RefusedError(
            f"{plural(demand.required, 'approval')} needed, and {counted}{wrong}",
            next="Have it approved with: fwfix approve PLAN",
            code="missing-approval",
        )
    return counting if demand.signer_files else ()


def _listed(content: bytes, signature: Signature, key: str, demand: Demand) -> Approval:
    names: tuple[str, ...] | None = None
    try:
        for signers in demand.signer_files:
            here = principals_of(signature.text, content, signers, namespace=PLAN_NAMESPACE)
            names = here if names is None else tuple(name for name in names if name in here)
    except SignatureProblemError as problem:
        return Approval(signature=signature, key=key, problem=f"{key}: {problem}")
    if demand.signer_files and not names:
        problem_text = f"{key} is listed under different names in the lists of signers"
        return Approval(signature=signature, key=key, problem=problem_text)
    return Approval(signature=signature, key=key, principals=names or ())


def _author(listed: Sequence[Approval], plan: Plan, demand: Demand) -> frozenset[str]:
    """Return what names the author: the account, and the key that he signed with and its names.

    They count also where that signature does not lie beside the plan, or the key is not listed for this day.
    """
    account = frozenset((plan.operator.removesuffix(_SUDO),))
    if not plan.author_key:
        return account
    by_certificate = {name for each in listed if each.key == plan.author_key for name in each.principals}
    return account | by_certificate | _identity(plan.author_key, demand)


def _identity(key: str, demand: Demand) -> frozenset[str]:
    """Return a key and every name that it is listed under, on whatever line and for whatever day."""
    return frozenset((key, *(name for signers in demand.signer_files for name in names_of(key, signers))))


def _is_by(names: frozenset[str], author: frozenset[str]) -> bool:
    return any(name in author or name.partition("@")[0] in author for name in names)
