// ldapts: clients of one connection each, shared by tasks; it sends many requests over one connection at a time.
//
// pool.mjs MODULES HOST PORT DN PASSWORD NAMES CONNECTIONS TASKS; prints the line that the benchmark reads.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [modules, host, port, dn, password, names, connections, tasks] = process.argv.slice(2);
const { Client } = createRequire(modules)('ldapts');
const SUFFIX = 'dc=harbourlane,dc=example';

const clients = [];
for (let count = 0; count < Number(connections); count++) {
  const client = new Client({ url: `ldap://${host}:${port}` });
  await client.bind(dn, password);
  clients.push(client);
}
const filters = readFileSync(names, 'utf8').trim().split('\n').map((name) => `(uid=${name})`);
const times = [];
const used = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const size = Math.ceil(filters.length / Number(tasks));
const lookUp = async (task) => {
  const client = clients[task % clients.length];
  for (const filter of filters.slice(task * size, (task + 1) * size)) {
    const began = performance.now();
    const { searchEntries } = await client.search(SUFFIX, { scope: 'sub', filter, sizeLimit: 2 });
    if (searchEntries.length !== 1) throw new Error(`${filter} finds ${searchEntries.length} entries`);
    times.push(performance.now() - began);
  }
};
const [began, before] = [performance.now(), used()];
await Promise.all(Array.from({ length: Number(tasks) }, (_, task) => lookUp(task)));
const [seconds, after] = [(performance.now() - began) / 1e3, used()];
times.sort((one, other) => one - other);
const at = (share) => times[Math.floor((times.length * share) / 100)] * 1e3;
console.log('figure', seconds, after - before, process.resourceUsage().maxRSS, at(50), at(99));
for (const client of clients) await client.unbind();
