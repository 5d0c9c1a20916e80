"""COM objects that scripts may make, by name, with those of their members that may be used."""

from collections.abc import Mapping

from fwfix.lint.surface import NetType, Shape

_FOLDER = NetType(
    name="ITaskFolder",
    methods={
        "deletefolder": (Shape(least=2, most=2, returns="Void"),),
        "gettasks": (Shape(least=1, most=1, returns=""),),
        "getfolders": (Shape(least=1, most=1, returns=""),),
    },
    properties={"name": "String", "path": "String"},
)
_SERVICE = NetType(
    name="Schedule.Service",
    methods={
        "connect": (Shape(least=0, most=4, returns="Void"),),
        "getfolder": (Shape(least=1, most=1, returns=_FOLDER.name),),
    },
    properties={"connected": "Boolean"},
)
# By what New-Object -ComObject takes, and by what members return.
COM_OBJECTS: Mapping[str, NetType] = {_SERVICE.name.lower(): _SERVICE}
COM_TYPES: Mapping[str, NetType] = {each.name.lower(): each for each in (_SERVICE, _FOLDER)}
