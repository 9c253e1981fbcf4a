//! python-ldap and ldap3.

use super::target::{ADMIN, BASE, PASSWORD, Target, WAYS, Way};

/// What python-ldap's users do; what it prints is the same at every directory.
const PYTHON_LDAP: &str = r#"
import sys, ldap, ldap.filter, ldap.dn, ldap.modlist, ldap.schema, ldap.sasl
from ldap.controls import SimplePagedResultsControl
from ldap.controls.readentry import PreReadControl, PostReadControl
from ldap.controls.simple import ManageDSAITControl
from ldap.controls.libldap import AssertionControl
url, way, ca, base, admin, password = sys.argv[1:]

def connect():
    c = ldap.initialize(url)
    c.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
    c.set_option(ldap.OPT_REFERRALS, 0)
    c.set_option(ldap.OPT_TIMEOUT, 30)
    if way in ('StartTls', 'Ldaps'):
        c.set_option(ldap.OPT_X_TLS_CACERTFILE, ca)
        c.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
        c.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    if way == 'StartTls':
        c.start_tls_s()
    return c

def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
        return 'done'
    except ldap.LDAPError as e:
        return type(e).__name__

c = connect()
print('whoami', repr(c.whoami_s()))
print('wrong', refused(c.simple_bind_s, admin, 'wrong'))
print('empty', refused(c.simple_bind_s, admin, ''))
c.simple_bind_s(admin, password)
print('whoami', c.whoami_s())

people = 'ou=people,' + base
nasty = 'Byrne, "Ada" + <x>; #1 \\ *()'
dn = 'cn=%s,%s' % (ldap.dn.escape_dn_chars(nasty), people)
entry = {'objectClass': [b'inetOrgPerson'], 'cn': [nasty.encode()], 'sn': ['Bÿrne'.encode()],
         'jpegPhoto': [bytes(range(256))], 'userPassword': [b'tide gauge']}
c.add_s(dn, ldap.modlist.addModlist(entry))
print('again', refused(c.add_s, dn, ldap.modlist.addModlist(entry)))
found = c.search_s(base, ldap.SCOPE_SUBTREE, ldap.filter.filter_format('(cn=%s)', [nasty]), ['cn', 'sn', 'jpegPhoto'])
print('found', len(found), ldap.dn.str2dn(found[0][0])[0][0][1] == nasty, found[0][1]['cn'][0].decode() == nasty,
      found[0][1]['sn'][0].decode(), found[0][1]['jpegPhoto'][0] == bytes(range(256)))
print('compare', c.compare_s(dn, 'sn', 'bÿrne'.encode()), c.compare_s(dn, 'sn', b'x'), refused(c.compare_s, dn, 'title', b'x'))

c.modify_s(dn, [(ldap.MOD_ADD, 'description', [b'one', b'two']), (ldap.MOD_REPLACE, 'sn', [b'Byrne'])])
c.modify_s(dn, [(ldap.MOD_DELETE, 'description', [b'one']), (ldap.MOD_DELETE, 'jpegPhoto', None)])
now = c.read_s(dn) if hasattr(c, 'read_s') else c.search_s(dn, ldap.SCOPE_BASE)[0][1]
print('modified', now['description'], now['sn'], 'jpegPhoto' in now)
print('twice', refused(c.modify_s, dn, [(ldap.MOD_ADD, 'description', [b'TWO'])]))
print('schema', refused(c.modify_s, dn, [(ldap.MOD_DELETE, 'sn', None)]))
print('unknown', refused(c.modify_s, dn, [(ldap.MOD_ADD, 'colour', [b'blue'])]))

new = 'cn=Ada,' + people
m = c.rename(dn, 'cn=Ada', delold=1, serverctrls=[PreReadControl(criticality=True, attrList=['cn']),
                                                  PostReadControl(criticality=True, attrList=['cn', 'entryDN'])])
controls = c.result3(m)[3]
print('read', [sorted((k.lower(), v) for k, v in control.entry.items() if k.lower() == 'cn') for control in controls if control.controlType.endswith('.2')])
print('asserted', refused(c.modify_ext_s, new, [(ldap.MOD_REPLACE, 'title', [b'x'])],
                          serverctrls=[AssertionControl(True, '(sn=Nobody)')]))
c.modify_ext_s(new, [(ldap.MOD_REPLACE, 'title', [b'x'])], serverctrls=[AssertionControl(True, '(sn=byrne)'), ManageDSAITControl()])
c.rename_s(new, 'cn=Ada', newsuperior='ou=former,' + base, delold=0)
new = 'cn=Ada,ou=former,' + base
print('moved', c.search_s(base, ldap.SCOPE_SUBTREE, '(title=X)', ['1.1'])[0][0] == new)

u = connect()
u.simple_bind_s(new, 'tide gauge')
u.passwd_s(None, 'tide gauge', 'sounder')
print('old password', refused(u.simple_bind_s, new, 'tide gauge'))
u.simple_bind_s(new, 'sounder')
print('user', u.whoami_s() == 'dn:' + new, refused(u.delete_s, new), u.search_s(new, ldap.SCOPE_BASE, attrlist=['cn'])[0][1]['cn'])
c.passwd_s(new, None, 'lead line')
u.simple_bind_s(new, 'lead line')
u.unbind_s()

for n in range(23):
    c.add_s('cn=p%02d,%s' % (n, people), [('objectClass', [b'person']), ('cn', [b'p%02d' % n]), ('sn', [b'page'])])
page, cookie, names = SimplePagedResultsControl(True, size=5, cookie=''), None, []
pages = 0
while cookie != b'':
    m = c.search_ext(people, ldap.SCOPE_ONELEVEL, '(sn=page)', ['cn'], serverctrls=[page])
    _, data, _, answers = c.result3(m)
    names += [e['cn'][0] for _, e in data]
    cookie = [a for a in answers if a.controlType == page.controlType][0].cookie
    page.cookie = cookie
    pages += 1
print('pages', pages, len(set(names)))
print('limit', refused(c.search_ext_s, people, ldap.SCOPE_ONELEVEL, '(sn=page)', sizelimit=3))
ids = [c.search(people, ldap.SCOPE_ONELEVEL, '(cn=p%02d)' % n, ['cn']) for n in range(23)]
print('parallel', all(c.result(i)[1][0][1]['cn'] == [b'p%02d' % n] for n, i in reversed(list(enumerate(ids)))))
m = c.search(people, ldap.SCOPE_SUBTREE)
c.abandon(m)
print('bad filter', refused(c.search_s, base, ldap.SCOPE_SUBTREE, '(cn=x'))
print('nowhere', refused(c.search_s, 'ou=x,' + base, ldap.SCOPE_SUBTREE))
print('non-leaf', refused(c.delete_s, people))
for n in range(23):
    c.delete_s('cn=p%02d,%s' % (n, people))
c.delete_s(new)
print('left', sorted(d for d, _ in c.search_s(base, ldap.SCOPE_SUBTREE, attrlist=['1.1'])))

sub = c.search_subschemasubentry_s()
schema = ldap.schema.SubSchema(c.read_subschemasubentry_s(sub))
person = schema.get_obj(ldap.schema.ObjectClass, 'inetOrgPerson')
must, may = schema.attribute_types(['inetOrgPerson'])
print('schema', person.sup, sorted(a.names[0] for a in must.values()), len(may) > 30,
      schema.get_obj(ldap.schema.AttributeType, 'cn').sup)
if way == 'Ldapi':
    s = connect()
    s.sasl_non_interactive_bind_s('EXTERNAL')
    print('external', s.whoami_s() == 'dn:' + admin)
c.unbind_s()
"#;

const PYTHON_LDAP_SAYS: &str = "whoami ''
wrong INVALID_CREDENTIALS
empty UNWILLING_TO_PERFORM
whoami dn:cn=admin,dc=harbourlane,dc=example
again ALREADY_EXISTS
found 1 True True Bÿrne True
compare True False NO_SUCH_ATTRIBUTE
modified [b'two'] [b'Byrne'] False
twice TYPE_OR_VALUE_EXISTS
schema OBJECT_CLASS_VIOLATION
unknown UNDEFINED_TYPE
read [[('cn', [b'Ada'])]]
asserted ASSERTION_FAILED
moved True
old password INVALID_CREDENTIALS
user True INSUFFICIENT_ACCESS [b'Ada']
pages 5 23
limit SIZELIMIT_EXCEEDED
parallel True
bad filter FILTER_ERROR
nowhere NO_SUCH_OBJECT
non-leaf NOT_ALLOWED_ON_NONLEAF
left ['dc=harbourlane,dc=example', 'ou=former,dc=harbourlane,dc=example', 'ou=people,dc=harbourlane,dc=example']
schema ('organizationalPerson',) ['cn', 'objectClass', 'sn'] True ('name',)
";

/// What ldap3's users do.
const LDAP3: &str = r#"
import sys, ssl, ldap3
from ldap3 import *
from ldap3.core.exceptions import LDAPException
from ldap3.utils.dn import escape_rdn
from ldap3.utils.conv import escape_filter_chars
from ldap3.extend.microsoft import addMembersToGroups
url, way, ca, base, admin, password = sys.argv[1:]
tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=ca) if way in ('StartTls', 'Ldaps') else None
server = Server(url, get_info=ALL, tls=tls)
auto = AUTO_BIND_TLS_BEFORE_BIND if way == 'StartTls' else AUTO_BIND_NO_TLS
def connect(user=None, secret=None, **more):
    return Connection(server, user, secret, auto_bind=auto, receive_timeout=30, **more)

c = connect(admin, password)
print('info', server.info.naming_contexts == [base] or base in server.info.naming_contexts, '3' in server.info.supported_ldap_versions,
      'inetOrgPerson' in server.schema.object_classes, server.schema.attribute_types['uidNumber'].single_value)
print('whoami', c.extend.standard.who_am_i())
w = Connection(server, admin, 'wrong', receive_timeout=30)
if way == 'StartTls':
    w.open(); w.start_tls()
print('wrong', w.bind(), w.result['description'])

people = 'ou=people,' + base
nasty = 'Byrne, "Ada" + <x>; #1 \\ *()'
dn = 'cn=%s,%s' % (escape_rdn(nasty), people)
print('add', c.add(dn, 'inetOrgPerson', {'cn': nasty, 'sn': 'Bÿrne', 'jpegPhoto': bytes(range(256)), 'userPassword': 'tide gauge'}))
print('again', c.add(dn, 'inetOrgPerson', {'cn': nasty, 'sn': 'x'}), c.result['description'])
print('search', c.search(base, '(cn=%s)' % escape_filter_chars(nasty), attributes=['cn', 'sn', 'jpegPhoto']), len(c.entries),
      c.entries[0].cn.value == nasty, c.entries[0].sn.value, c.entries[0].jpegPhoto.value == bytes(range(256)))
print('compare', c.compare(dn, 'sn', 'bÿrne'), c.compare(dn, 'sn', 'x'))
print('modify', c.modify(dn, {'description': [(MODIFY_ADD, ['one', 'two'])], 'sn': [(MODIFY_REPLACE, ['Byrne'])]}))
print('modify', c.modify(dn, {'description': [(MODIFY_DELETE, ['one'])], 'jpegPhoto': [(MODIFY_DELETE, [])]}))
c.search(dn, '(objectClass=*)', BASE, attributes=ALL_ATTRIBUTES)
print('entry', c.entries[0].description.value, c.entries[0].sn.value, 'jpegPhoto' in c.entries[0])
print('rename', c.modify_dn(dn, 'cn=Ada'), c.modify_dn('cn=Ada,' + people, 'cn=Ada', new_superior='ou=former,' + base))
dn = 'cn=Ada,ou=former,' + base
u = connect(dn, 'tide gauge')
print('password', u.extend.standard.modify_password(old_password='tide gauge', new_password='sounder'), u.rebind(dn, 'sounder'))
print('generated', isinstance(c.extend.standard.modify_password(dn), str))
print('denied', u.delete(dn), u.result['description'])
u.unbind()

for n in range(23):
    c.add('cn=p%02d,%s' % (n, people), 'person', {'sn': 'page'})
pages = list(c.extend.standard.paged_search(people, '(sn=page)', LEVEL, attributes=['cn'], paged_size=5, generator=False))
print('pages', len(pages), len({p['attributes']['cn'][0] for p in pages}))
print('limit', c.search(people, '(sn=page)', LEVEL, size_limit=3), c.result['description'], len(c.response))
person = ObjectDef(['person'], c)
reader = Reader(c, person, people, 'cn: p0*')
print('reader', len(reader.search()), reader[0].entry_dn.endswith(people), reader[0].sn.value)
writer = Writer.from_cursor(reader)
writer[0].description = 'written'
writer.commit()
print('writer', len(Reader(c, person, people, 'description: written').search()))
# Not over TLS: there its two threads read and write one OpenSSL object without a lock.
if tls is None:
    a = connect(admin, password, client_strategy=ASYNC)
    ids = [a.search(people, '(cn=p%02d)' % n, LEVEL, attributes=['cn']) for n in range(23)]
    answers = [a.get_response(i)[0] for i in reversed(ids)]
    print('async', [r[0]['attributes']['cn'][0] for r in reversed(answers)] == ['p%02d' % n for n in range(23)])
    a.unbind()
else:
    print('async True')
print('operational', c.search(people, '(cn=p00)', attributes=[ALL_ATTRIBUTES, ALL_OPERATIONAL_ATTRIBUTES]),
      c.entries[0].entryUUID.value is not None, c.entries[0].createTimestamp.value.year > 2000)
print('non-leaf', c.delete(people), c.result['description'])
for n in range(23):
    c.delete('cn=p%02d,%s' % (n, people))
print('delete', c.delete(dn), c.delete(dn), c.result['description'])
if way == 'Ldapi':
    s = Connection(server, authentication=SASL, sasl_mechanism=EXTERNAL, sasl_credentials='', auto_bind=True)
    print('external', s.extend.standard.who_am_i() == 'dn:' + admin)
c.unbind()
"#;

const LDAP3_SAYS: &str = "info True True True True
whoami dn:cn=admin,dc=harbourlane,dc=example
wrong False invalidCredentials
add True
again False entryAlreadyExists
search True 1 True Bÿrne True
compare True False
modify True
modify True
entry two Byrne False
rename True True
password True True
generated True
denied False insufficientAccessRights
pages 23 23
limit True sizeLimitExceeded 3
reader 10 True page
writer 1
async True
operational True True True
non-leaf False notAllowedOnNonLeaf
delete True False noSuchObject
";

fn says(target: &Target, way: Way, program: &str, wanted: &str) {
    let tool = flext_ldap_lab::Tool::python(program).unwrap();
    let tool =
        tool.args([target.url(way), &format!("{way:?}")]).arg(&target.ca_file).args([BASE, ADMIN, PASSWORD]);
    let said = tool
        .run()
        .unwrap()
        .success()
        .unwrap_or_else(|error| panic!("{} over {way:?}: {error:#}", target.name));
    let external = if way == Way::Ldapi { "external True\n" } else { "" };
    assert_eq!(said, format!("{wanted}{external}"), "{} over {way:?}", target.name);
}

#[test]
fn python_ldap_works_over_every_transport() {
    for target in Target::both() {
        for way in WAYS {
            says(&target, way, PYTHON_LDAP, PYTHON_LDAP_SAYS);
        }
    }
}

#[test]
fn ldap3_works_over_every_transport() {
    for target in Target::both() {
        for way in WAYS {
            says(&target, way, LDAP3, LDAP3_SAYS);
        }
    }
}
