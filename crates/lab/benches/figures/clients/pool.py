# python-ldap as its users pool it: connections lent to one thread at a time.
#
# pool.py HOST PORT DN PASSWORD NAMES CONNECTIONS TASKS; prints the line that the benchmark reads.
import queue
import resource
import sys
import threading
import time

import ldap

host, port, dn, password, names, connections, tasks = sys.argv[1:]
SUFFIX = "dc=harbourlane,dc=example"


def connect():
    connection = ldap.initialize(f"ldap://{host}:{port}")
    connection.set_option(ldap.OPT_REFERRALS, 0)
    connection.simple_bind_s(dn, password)
    return connection


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


pool = queue.LifoQueue()
for _ in range(int(connections)):
    pool.put(connect())
with open(names) as file:
    filters = [f"(uid={name.strip()})" for name in file]
times, failures = [], []


def look_up(share):
    own = []
    try:
        for wanted in share:
            began = time.monotonic()
            connection = pool.get()
            found = connection.search_ext_s(SUFFIX, ldap.SCOPE_SUBTREE, wanted, sizelimit=2)
            pool.put(connection)
            if len(found) != 1:
                raise RuntimeError(f"{wanted} finds {len(found)} entries")
            own.append(time.monotonic() - began)
        times.extend(own)
    except Exception as error:
        failures.append(error)


size = -(-len(filters) // int(tasks))
threads = [threading.Thread(target=look_up, args=(filters[at:at + size],)) for at in range(0, len(filters), size)]
began, (used, _) = time.monotonic(), cpu()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
seconds, (after, memory) = time.monotonic() - began, cpu()
if failures:
    sys.exit(f"python-ldap: {failures[0]!r}")
times.sort()
p50, p99 = (times[len(times) * share // 100] * 1e6 for share in (50, 99))
print("figure", seconds, after - used, memory, p50, p99)
