//! ldapts, the client of Node.js.

use flext_ldap_lab::{Kit, Tool};

use super::target::{ADMIN, BASE, PASSWORD, Target, WAYS, Way};

/// What ldapts's users do; what it prints is the same at every directory.
const LDAPTS: &str = r#"
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
const [url, way, ca, base, admin, password, modules] = process.argv.slice(2);
const { Client, Attribute, Change, EqualityFilter, AndFilter, PresenceFilter, Control } = createRequire(modules)('ldapts');
const tlsOptions = { ca: readFileSync(ca), servername: 'localhost' };

async function connect() {
  const path = way === 'Ldaps' ? { tlsOptions } : {};
  const client = new Client({ url, timeout: 30000, connectTimeout: 30000, ...path });
  if (way === 'StartTls') await client.startTLS(tlsOptions);
  return client;
}
async function refused(promise) {
  try { await promise; return 'done'; } catch (e) { return `${e.name} ${e.code}`; }
}

const c = await connect();
console.log('wrong', await refused(c.bind(admin, 'wrong')));
await c.bind(admin, password);
console.log('bound', c.isConnected);
const whoami = await c.exop('1.3.6.1.4.1.4203.1.11.3');
console.log('whoami', String(whoami.value));

const people = 'ou=people,' + base;
const nasty = 'Byrne (Ada) *x \\ é';
const dn = 'cn=Byrne (Ada) *x \\5c é,' + people;
const photo = Buffer.from([...Array(256).keys()]);
await c.add(dn, { objectClass: ['inetOrgPerson'], cn: nasty, sn: 'Bÿrne', userPassword: 'tide gauge' });
console.log('again', await refused(c.add(dn, { objectClass: 'inetOrgPerson', cn: nasty, sn: 'x' })));
await c.modify(dn, [
  new Change({ operation: 'add', modification: new Attribute({ type: 'jpegPhoto', values: [photo] }) }),
  new Change({ operation: 'add', modification: new Attribute({ type: 'description', values: ['one', 'two'] }) }),
  new Change({ operation: 'replace', modification: new Attribute({ type: 'sn', values: ['Byrne'] }) }),
]);
await c.modify(dn, new Change({ operation: 'delete', modification: new Attribute({ type: 'description', values: ['one'] }) }));
const filter = new AndFilter({ filters: [new PresenceFilter({ attribute: 'objectClass' }), new EqualityFilter({ attribute: 'cn', value: nasty })] });
const { searchEntries: found } = await c.search(base, { scope: 'sub', filter, attributes: ['cn', 'sn', 'description', 'jpegPhoto'], explicitBufferAttributes: ['jpegPhoto'] });
console.log('found', found.length, found[0].cn === nasty, found[0].sn, found[0].description, photo.equals(found[0].jpegPhoto));
console.log('compare', await c.compare(dn, 'sn', 'BYRNE'), await c.compare(dn, 'sn', 'x'));
console.log('missing', await refused(c.compare(dn, 'title', 'x')));
console.log('twice', await refused(c.modify(dn, new Change({ operation: 'add', modification: new Attribute({ type: 'description', values: ['TWO'] }) }))));
console.log('schema', await refused(c.modify(dn, new Change({ operation: 'delete', modification: new Attribute({ type: 'sn', values: [] }) }))));
await c.modifyDN(dn, 'cn=Ada');
await c.modifyDN('cn=Ada,' + people, 'cn=Ada,ou=former,' + base);
const ada = 'cn=Ada,ou=former,' + base;
const read = await c.search(ada, { scope: 'base', attributes: ['cn'] });
console.log('moved', read.searchEntries[0].cn);

const u = await connect();
await u.bind(ada, 'tide gauge');
console.log('user', String((await u.exop('1.3.6.1.4.1.4203.1.11.3')).value) === 'dn:' + ada, await refused(u.del(ada)));
await u.unbind();

for (let n = 0; n < 23; n++) await c.add(`cn=p${n},${people}`, { objectClass: 'person', sn: 'page' });
let pages = 0;
const names = new Set();
for await (const page of c.searchPaginated(people, { scope: 'one', filter: '(sn=page)', attributes: ['cn'], paged: { pageSize: 5 } })) {
  pages++;
  for (const entry of page.searchEntries) names.add(entry.dn);
}
console.log('pages', pages, names.size);
const whole = await c.search(people, { scope: 'one', filter: '(sn=page)', paged: true, attributes: ['1.1'] });
console.log('whole', whole.searchEntries.length);
console.log('limit', (await c.search(people, { scope: 'one', filter: '(sn=page)', sizeLimit: 3 })).searchEntries.length);
const many = await Promise.all([...Array(23).keys()].map((n) => c.search(people, { filter: `(cn=p${n})`, attributes: ['cn'] })));
console.log('parallel', many.every((answer, n) => answer.searchEntries.length === 1 && answer.searchEntries[0].cn === `p${n}`));
console.log('critical', await refused(c.search(base, {}, new Control('1.3.6.1.4.1.32473.3', { critical: true }))));
console.log('nowhere', await refused(c.search('ou=x,' + base, {})));
console.log('non-leaf', await refused(c.del(people)));
for (let n = 0; n < 23; n++) await c.del(`cn=p${n},${people}`);
await c.del(ada);
console.log('gone', await refused(c.del(ada)));
await c.unbind();
"#;

const LDAPTS_SAYS: &str = "wrong InvalidCredentialsError 49
bound true
whoami dn:cn=admin,dc=harbourlane,dc=example
again AlreadyExistsError 68
found 1 true Byrne two true
compare true false
missing NoSuchAttributeError 16
twice TypeOrValueExistsError 20
schema ObjectClassViolationError 65
moved Ada
user true InsufficientAccessError 50
pages 5 23
whole 23
limit 3
parallel true
critical UnavailableCriticalExtensionError 12
nowhere NoSuchObjectError 32
non-leaf NotAllowedOnNonLeafError 66
gone NoSuchObjectError 32
";

#[test]
fn ldapts_works_over_every_transport() {
    let kit = Kit::load().unwrap();
    let what = "Node.js 20 or later with npm, and ldapts from it";
    let (node, modules) = (kit.part("node", what).unwrap(), kit.part("node_modules", what).unwrap());
    for target in Target::both() {
        for way in WAYS {
            // Its URLs name no socket.
            if way == Way::Ldapi {
                continue;
            }
            let tool = Tool::command("node", kit.command(&node)).unwrap().args([
                "--input-type=module",
                "-",
                target.url(way),
            ]);
            let tool = tool.args([&format!("{way:?}")]).arg(&target.ca_file).args([BASE, ADMIN, PASSWORD]);
            let said = tool.arg(modules.join("x.cjs")).input(LDAPTS).run().unwrap().success();
            let said = said.unwrap_or_else(|error| panic!("{} over {way:?}: {error:#}", target.name));
            assert_eq!(said, LDAPTS_SAYS, "{} over {way:?}", target.name);
        }
    }
}
