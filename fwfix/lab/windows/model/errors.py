"""Errors that Windows itself gives, with the ids that scripts see."""

from fwfix.errors import LabError

_ENGLISH = {
    5: "Access is denied.",
    87: "The parameter is incorrect.",
    183: "Cannot create a file when that file already exists.",
    1753: "There are no more endpoints available from the endpoint mapper.",
}
# Only what is known for certain; the text of the others is refused when a script reads it.
_GERMAN = {
    5: "Zugriff verweigert",
    183: "Eine Datei kann nicht erstellt werden, wenn sie bereits vorhanden ist.",
}
_CATEGORIES = {5: "PermissionDenied", 87: "InvalidArgument", 183: "ResourceExists"}


class RefusalError(LabError):
    """The host refuses, as Windows does.

    Attributes:
        error_id: FullyQualifiedErrorId up to the comma.
        category: of the error record.
        number: of a Windows system error, which has a text in the host's language; 0 for another error.
    """

    code = "twin-host"

    def __init__(self, error_id: str, *, category: str = "NotSpecified", number: int = 0) -> None:
        super().__init__(error_id)
        self.error_id = error_id
        self.category = category
        self.number = number

    def message_in(self, locale: str) -> str | None:
        """Return the text in a language; None where it is not known."""
        table = {"en-US": _ENGLISH, "de-DE": _GERMAN}.get(locale, {})
        return table.get(self.number)


class UnknownToModelError(LabError):
    """Windows knows this, the model does not, and it does not guess."""

    code = "twin-unknown"


def system_error(number: int) -> RefusalError:
    """Return `Windows System Error N`."""
    category = _CATEGORIES.get(number, "NotSpecified")
    return RefusalError(f"Windows System Error {number}", category=category, number=number)


def bad_parameter() -> RefusalError:
    """Return E_INVALIDARG: what a bad address, port or combination gives."""
    return RefusalError("HRESULT 0x80070057", category="InvalidArgument", number=87)
