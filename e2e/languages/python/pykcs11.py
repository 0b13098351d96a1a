"""Signs a file with PyKCS11: HOST MODULE LABEL FILE FOLDER, PIN in TEST_PIN.

FOLDER gets PADDING-HASH.sig for each way of signing; ECDSA signatures are r||s.
Then a pool of four forked processes signs the file, too.
"""
import hashlib
import multiprocessing
import os
import pathlib
import sys

import PyKCS11
from PyKCS11 import LowLevel as c

module, label, file, folder = sys.argv[1:]
content = pathlib.Path(file).read_bytes()
SHA512_INFO = bytes.fromhex("3051300d060960864801650304020305000440")


def write(name, signature):
    (pathlib.Path(folder) / (name + ".sig")).write_bytes(bytes(signature))


def start(forked=False):
    lib = PyKCS11.PyKCS11Lib()
    lib.load(module)
    if forked:
        # PyKCS11 has loaded the module already and would not initialise it again,
        # as PKCS #11 asks of a forked process; a second time answers "already".
        assert lib.lib.C_Initialize() in (c.CKR_OK, c.CKR_CRYPTOKI_ALREADY_INITIALIZED)
    slots = lib.getSlotList(tokenPresent=True)
    assert len(slots) == 1 and lib.getTokenInfo(slots[0]).label.strip() == "SignPath"
    session = lib.openSession(slots[0])
    session.login(os.environ["TEST_PIN"])
    keys = session.findObjects([(c.CKA_CLASS, c.CKO_PRIVATE_KEY), (c.CKA_ID, label.encode())])
    assert len(keys) == 1
    return session, keys[0]


def sign(session, key, data, mechanism, parameter=None):
    return session.sign(key, data, parameter or PyKCS11.Mechanism(mechanism, None))


def one(session, key):
    if session.getAttributeValue(key, [c.CKA_KEY_TYPE])[0] == c.CKK_RSA:
        return "pkcs1-sha256", sign(session, key, content, c.CKM_SHA256_RSA_PKCS)
    return "ecdsa-sha256", sign(session, key, hashlib.sha256(content).digest(), c.CKM_ECDSA)


def in_child(number):
    session, key = start(forked=True)
    name, signature = one(session, key)
    write(f"fork{number}-{name}", signature)
    session.logout()
    session.closeSession()
    return number


session, key = start()
name, signature = one(session, key)
write(name, signature)
if name.startswith("pkcs1"):
    write("pkcs1-sha512", sign(session, key, SHA512_INFO + hashlib.sha512(content).digest(), c.CKM_RSA_PKCS))
    write("pss-sha384", sign(session, key, hashlib.sha384(content).digest(), None, PyKCS11.RSA_PSS_Mechanism(c.CKM_RSA_PKCS_PSS, c.CKM_SHA384, c.CKG_MGF1_SHA384, 48)))
    write("pss-sha256", sign(session, key, content, None, PyKCS11.RSA_PSS_Mechanism(c.CKM_SHA256_RSA_PKCS_PSS, c.CKM_SHA256, c.CKG_MGF1_SHA256, 32)))
else:
    write("ecdsa-sha384", sign(session, key, content, c.CKM_ECDSA_SHA384))
attributes = session.getAttributeValue(key, [c.CKA_SENSITIVE, c.CKA_EXTRACTABLE, c.CKA_SIGN, c.CKA_LABEL])
assert list(attributes) == [True, False, True, label], attributes

with multiprocessing.get_context("fork").Pool(4) as pool:
    assert sorted(pool.map(in_child, range(8), chunksize=2)) == list(range(8))
one(session, key)  # the parent goes on
session.logout()
session.closeSession()
