"""Makes a domain in an empty folder, as `samba-tool domain provision` does, but for what files would need: no machine
account of a file server, no access lists on shares, no name server. Arguments: the folder, the realm, the password of
the administrator, and the addresses whose services get Kerberos names."""

import logging
import os
import sys

import ldb
import samba.dsdb
from samba.auth import system_session
from samba.provision import provision

folder, realm, password, *addresses = sys.argv[1:]
settings = os.path.join(folder, "empty.conf")
open(settings, "w").close()

made = provision(
    logging.getLogger(),
    system_session(),
    smbconf=settings,
    targetdir=folder,
    realm=realm,
    domain=realm.split(".")[0],
    hostname="dc1",
    hostip="127.0.0.1",
    adminpass=password,
    serverrole="active directory domain controller",
    dom_for_fun_level=samba.dsdb.DS_DOMAIN_FUNCTION_2008_R2,
    dns_backend="NONE",
    use_rfc2307=True,
    skip_sysvolacl=True,
)

domain = made.samdb.domain_dn()
made.samdb.modify_ldif(f"""dn: {domain}
changetype: modify
replace: lockoutThreshold
lockoutThreshold: 3
-
replace: minPwdAge
minPwdAge: 0
""")
names = "".join(f"servicePrincipalName: ldap/{name}\n" for name in ["dc1." + realm.lower(), "localhost", *addresses])
made.samdb.modify_ldif(f"dn: CN=DC1,OU=Domain Controllers,{domain}\nchangetype: modify\nadd: servicePrincipalName\n{names}")
