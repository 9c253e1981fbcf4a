"""What libldap reads: lines of octets in hex on stdin, one answer each on stdout. The argument says what they are.

dn: the pairs of type and value, `type:value` in hex, `+` within a component and `,` between them; `-` for the root.
filter: the BER that a search would carry.
An answer of `refused` says that libldap does not take it.
"""
import ctypes, glob, os, sys

import _ldap  # the module of python-ldap, which has libldap loaded

with open('/proc/self/maps') as maps:
    paths = {line.split()[-1] for line in maps if 'libldap' in line or 'liblber' in line}
ldap = ctypes.CDLL(next(path for path in paths if 'libldap' in path))
lber = ctypes.CDLL(next(path for path in paths if 'liblber' in path))


class Berval(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ulong), ('octets', ctypes.c_void_p)]

    def hex(self):
        return ctypes.string_at(self.octets, self.length).hex() if self.length else ''


class Ava(ctypes.Structure):
    _fields_ = [('type', Berval), ('value', Berval), ('flags', ctypes.c_uint), ('private', ctypes.c_void_p)]


Rdn = ctypes.POINTER(ctypes.POINTER(Ava))
ldap.ldap_bv2dn.argtypes = [ctypes.POINTER(Berval), ctypes.POINTER(ctypes.POINTER(Rdn)), ctypes.c_uint]
ldap.ldap_dnfree.argtypes = [ctypes.c_void_p]
ldap.ldap_pvt_put_filter.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
lber.ber_alloc_t.restype = ctypes.c_void_p
lber.ber_flatten2.argtypes = [ctypes.c_void_p, ctypes.POINTER(Berval), ctypes.c_int]
lber.ber_free.argtypes = [ctypes.c_void_p, ctypes.c_int]
LDAPV3 = 0x10
# An AVA whose value was spelt with `#`: its octets are BER.
BINARY = 0x2


def dn(octets):
    buffer = ctypes.create_string_buffer(octets)
    given, parsed = Berval(len(octets), ctypes.addressof(buffer)), ctypes.POINTER(Rdn)()
    if ldap.ldap_bv2dn(given, ctypes.byref(parsed), LDAPV3) != 0:
        return 'refused'
    if not parsed:
        return '-'
    rdns = []
    for rdn in iterate(parsed):
        avas = [one.contents for one in iterate(rdn)]
        rdns.append('+'.join(
            f'{ava.type.hex()}:{"#" if ava.flags & BINARY else ""}{ava.value.hex()}' for ava in avas))
    ldap.ldap_dnfree(parsed)
    return ','.join(rdns)


def iterate(pointers):
    at = 0
    while pointers[at]:
        yield pointers[at]
        at += 1


def filter(octets):
    if b'\0' in octets:
        return 'refused'
    ber, encoded = lber.ber_alloc_t(1), Berval()
    answer = 'refused'
    if ldap.ldap_pvt_put_filter(ber, octets) != -1 and lber.ber_flatten2(ber, encoded, 0) == 0:
        answer = encoded.hex()
    lber.ber_free(ber, 1)
    return answer


read = {'dn': dn, 'filter': filter}[sys.argv[1]]
for line in sys.stdin:
    print(read(bytes.fromhex(line.strip())))
