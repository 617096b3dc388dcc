r"""The names of what any machine with Windows does by itself, in tables that map a reason to the names it explains.

Names are normalised, as in tokens. ``background`` asks these tables. The host's own allow-lists come before them, and
what one machine image does beyond them is learnt when a model is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Reasons = Mapping[str, tuple[str, ...]]  # reason -> names

# -- the network -------------------------------------------------------------------------------------------------------
DOMAINS: Final[Reasons] = {  # a domain and all names below it
    "Windows: updates, telemetry, settings, time, maps and tests of the connection": (
        "microsoft.com", "windows.com", "windowsupdate.com", "msftncsi.com", "msftconnecttest.com", "sfx.ms",
        "nelreports.net",
    ),
    "Windows and Edge: news, search and advertisements of the start page": (
        "msn.com", "bing.com", "msedge.net", "scorecardresearch.com", "bingapis.com", "img-s-msn-com.akamaized.net",
    ),
    "Office and its sign-in": (
        "office.com", "office.net", "officeapps.live.com", "skype.com", "lync.com", "g.live.com", "login.live.com",
        "microsoftonline.com", "msauth.net", "msftauth.net",
    ),
    "browsers: updates and lists of harmful sites": (
        "gvt1.com", "gvt2.com", "update.googleapis.com", "safebrowsing.googleapis.com", "safebrowsing.google.com",
        "clients.google.com", "clients1.google.com", "clients2.google.com", "clients3.google.com",
        "clients4.google.com", "clients5.google.com", "clients6.google.com", "dl.google.com", "tools.google.com",
        "aus5.mozilla.org", "services.mozilla.com", "detectportal.firefox.com", "download.mozilla.org",
    ),
    "updates of Adobe's and Java's programs": (
        "armmf.adobe.com", "acroipm.adobe.com", "acroipm2.adobe.com", "swupmf.adobe.com", "ardownload.adobe.com",
        "files.acrobat.com", "javadl-esd-secure.oracle.com", "javadl.sun.com", "javadl.oracle.com",
    ),
    "look-ups of certificates at their issuers": (
        "digicert.com", "digicert.cn", "verisign.com", "symcb.com", "symcd.com", "thawte.com", "geotrust.com",
        "rapidssl.com", "globalsign.com", "globalsign.net", "comodoca.com", "comodoca4.com", "usertrust.com",
        "sectigo.com", "trust-provider.com", "entrust.net", "godaddy.com", "starfieldtech.com", "lencr.org",
        "letsencrypt.org", "identrust.com", "pki.goog", "amazontrust.com", "ss2.us", "quovadisglobal.com",
        "msocsp.com", "digitalcertvalidation.com", "swisssign.net", "certum.pl", "buypass.com", "trustwave.com",
        "ws.symantec.com",
    ),
    "look-ups of names by addresses": (
        "in-addr.arpa", "ip6.arpa",
    ),
    "names of the network that the machine is in": (
        "wpad", "isatap", "local", "localdomain", "localhost", "lan",
    ),
}  # fmt: skip
FIRST_LABELS: Final[Reasons] = {  # in any domain
    "the search for a proxy and for a tunnel, in any domain": (
        "wpad", "isatap",
    ),
}  # fmt: skip
UDP_PORTS: Final[Mapping[int, str]] = {
    53: "look-ups of names",
    67: "DHCP",
    68: "DHCP",
    123: "time",
    137: "NetBIOS names",
    138: "NetBIOS datagrams",
    546: "DHCP for IPv6",
    547: "DHCP for IPv6",
    1900: "search for devices (SSDP)",
    3544: "Teredo, a tunnel for IPv6",
    3702: "search for devices (WS-Discovery)",
    5353: "names on the local network (mDNS)",
    5355: "names on the local network (LLMNR)",
}  # fmt: skip
AGENTS: Final[Reasons] = {  # beginnings of the user agent, in lower case
    "look-ups of certificates": (
        "microsoft-cryptoapi",
    ),
    "updates and their delivery": (
        "windows-update-agent", "microsoft bits", "microsoft edge update", "microsoft-delivery-optimization",
        "google update",
    ),
    "tests of the connection, notifications, telemetry": (
        "microsoft ncsi", "microsoft-wns", "msdw", "microsoft sqm",
    ),
}  # fmt: skip

# -- processes and services -------------------------------------------------------------------------------------------
PROCESSES: Final[Reasons] = {  # file names; only in a folder of Windows or of the updater
    "run from the start of Windows on": (
        "system", "smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe", "lsm.exe",
        "svchost.exe", "spoolsv.exe", "dwm.exe", "explorer.exe", "sihost.exe", "ctfmon.exe", "fontdrvhost.exe",
        "audiodg.exe", "userinit.exe", "logonui.exe",
    ),
    "run tasks and serve COM and WMI for others": (
        "taskhost.exe", "taskhostw.exe", "taskhostex.exe", "taskeng.exe", "dllhost.exe", "conhost.exe",
        "wmiprvse.exe", "wmiadap.exe", "wmiapsrv.exe", "unsecapp.exe", "backgroundtaskhost.exe", "runtimebroker.exe",
        "applicationframehost.exe", "shellexperiencehost.exe", "searchui.exe", "startmenuexperiencehost.exe",
        "smartscreen.exe", "textinputhost.exe", "microsoftedgecp.exe",
    ),
    "index, license, protect and report": (
        "searchindexer.exe", "searchprotocolhost.exe", "searchfilterhost.exe", "sppsvc.exe", "osppsvc.exe",
        "slui.exe", "securityhealthhost.exe", "securityhealthservice.exe", "msmpeng.exe", "mpcmdrun.exe",
        "nissrv.exe", "wermgr.exe", "werfault.exe", "compattelrunner.exe", "dwwin.exe", "wsqmcons.exe",
    ),
    "update Windows and other programs": (
        "wuauclt.exe", "usoclient.exe", "mousocoreworker.exe", "trustedinstaller.exe", "tiworker.exe",
        "microsoftedgeupdate.exe", "googleupdate.exe", "googlecrashhandler.exe", "googlecrashhandler64.exe",
        "officeclicktorun.exe", "msoia.exe", "officebackgroundtaskhandler.exe", "onedrivestandaloneupdater.exe",
        "mobsync.exe", "defrag.exe", "sdclt.exe",
    ),
}  # fmt: skip
PROCESS_FOLDERS: Final = (
    "%windir%\\", "%programfiles%\\microsoft", "%programfiles%\\google\\", "%programfiles%\\windows",
)  # fmt: skip
SERVICES: Final[Reasons] = {
    "started by Windows when it is idle or connected": (
        "bits", "dosvc", "wuauserv", "usosvc", "waasmedicsvc", "trustedinstaller", "msiserver", "cryptsvc", "wersvc",
        "troubleshootingsvc", "diagtrack", "dps", "wdisystemhost", "wdiservicehost", "wsearch", "sppsvc", "osppsvc",
        "clipsvc", "licensemanager", "appxsvc", "staterepository", "wisvc", "defragsvc", "sysmain", "wmiapsrv",
        "appinfo", "profsvc", "gpsvc", "netprofm", "nlasvc", "w32time", "wpnservice", "tokenbroker",
        "securityhealthservice", "clicktorunsvc", "dmwappushservice", "cdpsvc", "lfsvc", "mapsbroker", "pcasvc",
    ),
    "updates of browsers": (
        "edgeupdate", "edgeupdatem", "gupdate", "gupdatem", "googleupdaterservice",
    ),
}  # fmt: skip

# -- files, registry, mutexes ------------------------------------------------------------------------------------------
FILES: Final[Reasons] = {  # beginnings of paths
    "updates of Windows, Edge, Chrome and Office": (
        "%windir%\\softwaredistribution", "%windir%\\servicing", "%windir%\\logs\\",
        "%programfiles%\\microsoft\\edgeupdate", "%programdata%\\microsoft\\edgeupdate",
        "%programfiles%\\microsoft\\temp", "%localappdata%\\microsoft\\edgeupdate",
        "%systemdrive%\\microsoftedgeupdate", "%programfiles%\\google\\update", "%localappdata%\\google\\update",
        "%programdata%\\microsoft\\network\\downloader", "%programdata%\\uso",
        "%programdata%\\microsoft\\clicktorun", "%localappdata%\\microsoft\\office\\16.0\\msoia.exe",
    ),
    "prefetch, indexes, caches and logs that Windows keeps": (
        "%windir%\\prefetch", "%windir%\\appcompat", "%windir%\\serviceprofiles", "%windir%\\panther",
        "%windir%\\system32\\config", "%windir%\\system32\\winevt", "%windir%\\system32\\catroot",
        "%windir%\\system32\\wbem\\repository", "%windir%\\system32\\wbem\\performance", "%windir%\\system32\\sru",
        "%windir%\\system32\\wdi", "%windir%\\system32\\logfiles", "%windir%\\system32\\spp",
        "%windir%\\system32\\perf", "%programdata%\\microsoft\\windows\\apprepository",
        "%programdata%\\microsoft\\windows\\wer", "%programdata%\\microsoft\\diagnosis",
        "%programdata%\\microsoft\\search", "%programdata%\\microsoft\\rac",
        "%programdata%\\microsoft\\windows defender", "%localappdata%\\microsoft\\windows\\explorer",
        "%localappdata%\\microsoft\\windows\\caches", "%localappdata%\\microsoft\\windows\\webcache",
        "%localappdata%\\microsoft\\windows\\notifications", "%localappdata%\\microsoft\\windows\\wer",
        "%localappdata%\\microsoft\\windows\\usrclass.dat", "%localappdata%\\microsoft\\onedrive",
        "%localappdata%\\packages", "%profile%\\ntuser.dat",
        "%appdata%\\microsoft\\windows\\recent\\customdestinations",
        "%appdata%\\microsoft\\windows\\recent\\automaticdestinations",
    ),
    "certificates: stores and what was looked up": (
        "%profile%\\appdata\\locallow\\microsoft\\cryptneturlcache", "%appdata%\\microsoft\\systemcertificates",
        "%localappdata%\\microsoft\\cryptneturlcache",
    ),
    "PowerShell and .NET, when they start": (
        "%temp%\\__psscriptpolicytest", "%localappdata%\\microsoft\\windows\\powershell",
        "%localappdata%\\microsoft\\clr_v", "%windir%\\assembly\\nativeimages",
        "%windir%\\microsoft.net\\framework\\v4.0.<n>\\ngen",
    ),
}  # fmt: skip
FILE_NAMES: Final[Reasons] = {  # in any folder
    "views of folders in Explorer": (
        "desktop.ini", "thumbs.db",
    ),
    "PowerShell, when it starts": (
        "startupprofiledata-noninteractive", "moduleanalysiscache", "powershell.exe.log",
    ),
    "updates of Edge and Windows": (
        "microsoftedgeupdate.log", "recentfilecache.bcf",
    ),
}  # fmt: skip
REGISTRY: Final[Reasons] = {  # beginnings of keys
    "updates and telemetry": (
        "hklm\\software\\microsoft\\edgeupdate", "hkcu\\software\\microsoft\\edgeupdate",
        "hklm\\software\\google\\update", "hkcu\\software\\google\\update",
        "hklm\\software\\microsoft\\windows\\currentversion\\windowsupdate",
        "hklm\\software\\microsoft\\windows\\currentversion\\deliveryoptimization",
        "hklm\\software\\microsoft\\windows\\currentversion\\diagnostics", "hklm\\software\\microsoft\\sqmclient",
        "hkcu\\software\\microsoft\\sqmclient", "hklm\\software\\microsoft\\windows\\windows error reporting",
        "hkcu\\software\\microsoft\\office\\16.0\\common\\clienttelemetry",
        "hklm\\software\\microsoft\\windowsupdate", "hklm\\software\\microsoft\\windows\\currentversion\\bits",
        "hklm\\software\\microsoft\\windowsselfhost",
    ),
    "WinINet's and WinHTTP's own state, at any connection": (
        "hkcu\\software\\microsoft\\windows\\currentversion\\internet settings\\wpad",
        "hkcu\\software\\microsoft\\windows\\currentversion\\internet settings\\connections",
        "hkcu\\software\\microsoft\\windows\\currentversion\\internet settings\\zonemap\\autodetect",
        "hkcu\\software\\microsoft\\windows\\currentversion\\internet settings\\zonemap\\intranetname",
        "hkcu\\software\\microsoft\\windows\\currentversion\\internet settings\\zonemap\\proxybypass",
        "hkcu\\software\\microsoft\\windows\\currentversion\\internet settings\\zonemap\\uncasintranet",
        "hkcu\\software\\microsoft\\windows\\currentversion\\internet settings\\5.0\\cache",
        "hklm\\software\\microsoft\\windows\\currentversion\\internet settings\\zonemap\\autodetect",
        "hklm\\software\\microsoft\\windows\\currentversion\\internet settings\\zonemap\\intranetname",
        "hklm\\software\\microsoft\\windows\\currentversion\\internet settings\\zonemap\\proxybypass",
        "hklm\\software\\microsoft\\windows\\currentversion\\internet settings\\zonemap\\uncasintranet",
        "hklm\\software\\microsoft\\windows\\currentversion\\internet settings\\connections",
        "hklm\\software\\microsoft\\tracing",
    ),
    "Explorer: what was opened, views, menus and cached names": (
        "hkcu\\software\\microsoft\\windows\\currentversion\\explorer\\userassist",
        "hkcu\\software\\microsoft\\windows\\currentversion\\explorer\\mountpoints2",
        "hkcu\\software\\microsoft\\windows\\currentversion\\explorer\\sessioninfo",
        "hkcu\\software\\microsoft\\windows\\currentversion\\explorer\\recentdocs",
        "hkcu\\software\\microsoft\\windows\\currentversion\\explorer\\streammru",
        "hkcu\\software\\microsoft\\windows\\currentversion\\explorer\\cd burning",
        "hkcu\\software\\microsoft\\windows\\shell\\bag", "hkcu\\software\\microsoft\\windows\\shellnoroam",
        "hkcr\\local settings",
    ),
    "random numbers, dates and languages of services": (
        "hklm\\software\\microsoft\\cryptography\\rng", "hku\\.default\\control panel\\international",
        "hkcu\\software\\microsoft\\windows script host\\settings", "hkcu\\software\\microsoft\\ctf\\",
    ),
}  # fmt: skip
MUTEXES: Final[Reasons] = {  # beginnings of names
    "made by libraries of Windows in any program that loads them": (
        "sm0:", "zonescachecountermutex", "zoneslockedcachecountermutex", "zonescounter", "msctf.", "ctf.",
        "cicloadwinsta", "cicero", "ddrawwindowlistmutex", "ddrawdriverobjectlistmutex", "__ddraw", "rasp",
        "wininet", "!msftesthooks!", "iesqmmutex", "!iecompat!", "!browseremulation!", "c:!users!",
        "_!msfthistory!_", "oleacc-msaa-loaded", ".net clr", "netfxeventlog", "dbwinmutex", "__omadm_named_mutex__",
        "madexceptsettingsmtx", "global\\cmiv2", "ie_earlytabstart", "!privacie!",
    ),
    "updates of browsers": (
        "_microsoft_edgeupdate", "global\\edgeupdate", "global\\g{", "_google_update",
    ),
}  # fmt: skip

# -- what nearly every program looks at --------------------------------------------------------------------------------
FOLDERS: Final = frozenset((
    "%systemdrive%", "%systemdrive%\\users", "%profile%", "%profile%\\appdata", "%profile%\\desktop",
    "%profile%\\documents", "%appdata%", "%appdata%\\microsoft", "%localappdata%", "%localappdata%\\microsoft",
    "%temp%", "%programfiles%", "%programdata%", "%programdata%\\microsoft", "%windir%", "%temp%\\%sample%",
    "<guid>",
))  # fmt: skip
DEVICES: Final = frozenset((  # to which libraries of Windows talk, also by writing
    "conin$", "conout$", "mountpointmanager", "nsi", "device\\afd", "device\\cng", "device\\ip", "device\\ksecdd",
    "device\\lanmandatagramreceiver", "device\\nsi", "device\\rasacd", "device\\rdpdr", "device\\tcp",
    "pipe\\browser", "pipe\\dav rpc service", "pipe\\epmapper", "pipe\\eventlog", "pipe\\keysvc", "pipe\\lsarpc",
    "pipe\\netlogon", "pipe\\ntsvcs", "pipe\\samr", "pipe\\spoolss", "pipe\\srvsvc", "pipe\\trkwks", "pipe\\wkssvc",
))  # fmt: skip
WINDOWS_FOLDERS: Final = (  # beginnings of paths
    "%windir%\\", "%commonprogramfiles%", "storage#", "%programfiles%\\windows", "%programfiles%\\microsoft",
    "%programfiles%\\internet explorer", "%appdata%\\microsoft\\windows\\", "%localappdata%\\microsoft\\windows\\",
    "%programdata%\\microsoft\\windows\\",
)  # fmt: skip
WINDOWS_KEYS: Final = (  # beginnings of keys
    "hklm\\software\\clients", "hklm\\software\\defaultuserenvir", "hklm\\control panel",
    "hklm\\system", "hklm\\software\\microsoft", "hklm\\software\\policies", "hkcr", "hku",
    "hkcu\\software\\microsoft", "hkcu\\software\\policies", "hkcu\\control panel", "hkcu\\environment",
    "hkcu\\keyboard layout", "hkcu\\volatile",
)  # fmt: skip
BARE_KEYS: Final = frozenset((
    "hkcu", "hkcu\\software", "hklm", "hklm\\hardware", "hklm\\software",
))  # fmt: skip
WINDOWS_LIBRARIES: Final = frozenset(
    (  # noqa: SIM905
        "actxprxy advapi32 amsi apphelp appventsubsystems32 appventsubsystems64 atl authz avrt bcrypt "
        "bcryptprimitives browcli c2r32 cabinet cfgmgr32 clbcatq clienttelemetry clr clrjit combase comctl32 "
        "comdlg32 coremessaging coreuicomponents credui crypt32 cryptbase cryptdll cryptnet cryptsp cryptui cscapi "
        "d2d1 d3d11 d3d9 davclnt dbghelp ddraw devobj devrtl dhcpcsvc dhcpcsvc6 dnsapi dpapi drprov dsrole dui70 "
        "duser dwmapi dwrite dxgi esent explorerframe fastprox firewallapi fltlib fwpuclnt gdi32 gdi32full gdiplus "
        "glu32 gpapi hid hnetcfg httpapi ieframe iertutil imagehlp imm32 iphlpapi jscript kernel.appcore kernel32 "
        "kernelbase ksuser linkinfo logoncli lpk lz32 mapi32 mdmregistration mf mfc42 mfplat mlang mpclient mpoav "
        "mpr mprapi msacm32 msasn1 mscoree mscoreei mscorlib.ni mscorwks msctf msdart msedgeupdate msftedit mshtml "
        "msi msimg32 msiso mskeyprotect msvbvm60 msvcp140 msvcp60 msvcp_win msvcr100 msvcr110 msvcr120 msvcr80 "
        "msvcr90 msvcrt mswsock msxml3 msxml6 napinsp ncrypt ncryptsslp netapi32 netprofm netutils newdev nlaapi "
        "normaliz npmproxy nsi ntasn1 ntdll ntdsapi ntlanman ntmarta ntshrui odbc32 ole32 oleacc oleaut32 olepro32 "
        "onecoreuapcommonproxystub opengl32 pcacli pdh pnrpnsp powrprof profapi propsys psapi psmachine rasadhlp "
        "rasapi32 rasman resutils riched20 riched32 rpcrt4 rpcss rsaenh rstrtmgr rtutils samcli samlib schannel "
        "sechost secur32 security sensapi setupapi sfc sfc_os shcore shdocvw shell32 shfolder shlwapi slc spp "
        "srvcli sspicli sxs system.configuration.ni system.core.ni system.data system.management.ni system.ni "
        "system.transactions system.xml.ni taskschd textinputframework textshaping thumbcache twext twinapi "
        "ucrtbase uiautomationcore umpdc urlmon user32 userenv usp10 uxtheme vbscript vcruntime140 version vssapi "
        "vsstrace wbemcomn wbemcore wbemprox wbemsvc wer wevtapi win32u windows.storage windowscodecs winhttp "
        "wininet winmm winmmbase winnsi winrnr winscard winspool winsta wintrust wintypes wkscli wldap32 wldp "
        "wmisvc wmiutils ws2_32 ws2help wship6 wshqos wshtcpip wsock32 wtsapi32 xmllite xpsp2res zipfldr"
    ).split()
)
