"""Names of commands that PowerShell has, whether the engine knows them or not."""

ALIASES = {
    "%": "foreach-object", "foreach": "foreach-object", "?": "where-object", "where": "where-object",
    "select": "select-object", "measure": "measure-object", "group": "group-object",
}
DESKTOP_ALIASES = {"sort": "sort-object", "sleep": "start-sleep", "echo": "write-output", "write": "write-output"}
_NOUNS = (
    "acl alias authenticodesignature childitem cimassociatedinstance cimclass ciminstance cimsession clipboard "
    "cmsmessage command computerinfo content counter credential culture date error event eventlog eventsubscriber "
    "executionpolicy experimentalfeature filehash formatdata help history host hotfix installedmodule item "
    "itemproperty itempropertyvalue job location markdownoption member module object package packageprovider "
    "packagesource pfxcertificate process psbreakpoint pscallstack psdrive pshostprocessinfo psprovider "
    "psreadlinekeyhandler psreadlineoption psrepository pssession pssessioncapability pssessionconfiguration "
    "pssubsystem random runspace runspacedebug securerandom service timezone tracesource transaction typedata "
    "uiculture unique uptime variable verb winevent wmiobject childitem csv json xml html clixml null string list "
    "table wide custom default file host output printer warning error verbose debug information progress "
    "webrequest restmethod expression command scriptblock path randomnumber sleep guid temporaryfile "
    "scheduledtask scheduledtaskinfo scheduledtaskaction scheduledtasktrigger scheduledtaskprincipal "
    "scheduledtasksettingsset netfirewallrule netfirewallportfilter netfirewalladdressfilter "
    "netfirewallapplicationfilter netfirewallservicefilter netfirewallinterfacefilter netfirewallinterfacetypefilter "
    "netfirewallsecurityfilter netfirewallprofile netfirewallsetting nettcpconnection netudpendpoint "
    "netconnectionprofile netipaddress netadapter netroute netconnection printerport printer strictmode "
    "securestring member type data string sddl base64 psdebug location action property childitem connection "
    "computer archive markdown math help localuser localgroup localgroupmember disk volume partition windowsfeature "
    "windowsoptionalfeature dnsclientcache dnsname dnsclientserveraddress smbshare smbmapping"
)  # fmt: skip
_NOUN_SET = frozenset(_NOUNS.split())
_VERBS = frozenset(
    "add clear close copy enter exit find format get hide join lock move new open optimize pop push redo remove rename "
    "reset resize search select set show skip split step switch undo unlock watch backup checkpoint compare compress "
    "convert convertfrom convertto dismount edit expand export group import initialize limit merge mount out publish "
    "restore save sync unpublish update debug measure ping repair resolve test trace connect disconnect read receive "
    "send write block grant protect revoke unblock unprotect approve assert complete confirm deny disable enable "
    "install invoke register request restart resume start stop submit suspend uninstall unregister wait use foreach "
    "where sort tee".split()
)
_ALIAS_NAMES = frozenset(
    "ac asnp cat cd cfs chdir clc clear clhy cli clp cls clv cnsn compare copy cp cpi cpp curl cvpa dbp del diff dir "
    "dnsn ebp echo epal epcsv epsn erase etsn exsn fc fhx fl foreach ft fw gal gbp gc gci gcm gcs gdr ghy gi gin gjb "
    "gl gm gmo gp gps gpv group gsn gsnp gsv gu gv gwmi h history icm iex ihy ii ipal ipcsv ipmo ipsn irm ise iwmi iwr "
    "kill lp ls man md measure mi mount move mp mv nal ndr ni nmo npssc nsn nv ogv oh popd ps pushd pwd r rbp rcjb rcsn "
    "rd rdr ren ri rjb rm rmdir rmo rni rnp rp rsn rsnp rujb rv rvpa rwmi sajb sal saps sasv sbp sc scb select set shcm "
    "si sl sleep sls sort sp spjb spps spsv start stz sujb sv swmi tee trcm type wget where wjb write mkdir more help "
    "oss prompt pause tabexpansion2 cd.. cd\\ gtz gerr clhy gcb scb".split()
)


def is_real_command(lowered: str) -> bool:
    """Say whether PowerShell, or a module that comes with Windows, may have a command of this name."""
    if lowered in _ALIAS_NAMES or lowered in ALIASES:
        return True
    verb, dash, noun = lowered.partition("-")
    return bool(dash) and verb in _VERBS and noun in _NOUN_SET
