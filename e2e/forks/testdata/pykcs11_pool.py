"""Workers that multiprocessing forks after PyKCS11 has loaded and used the module.

usage: pykcs11_pool.py MODULE KEYID JOBS    prints one signature a line, in hexadecimal
"""
import multiprocessing
import os
import signal
import sys
import traceback

import PyKCS11

parent = os.getpid()
module, key_id, jobs = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
lib = PyKCS11.PyKCS11Lib()
lib.load(module)


def login():
    session = lib.openSession(lib.getSlotList(tokenPresent=True)[0])
    session.login("CONFIG")
    key = session.findObjects([(PyKCS11.CKA_CLASS, PyKCS11.CKO_PRIVATE_KEY), (PyKCS11.CKA_ID, tuple(key_id))])[0]
    return session, key


def sign(session, key, text):
    rsa = session.getAttributeValue(key, [PyKCS11.CKA_KEY_TYPE])[0] == PyKCS11.CKK_RSA
    mechanism = PyKCS11.Mechanism(PyKCS11.CKM_SHA256_RSA_PKCS if rsa else PyKCS11.CKM_ECDSA_SHA256, None)
    return bytes(session.sign(key, text, mechanism))


state = None


def start():
    """In a new worker: the parent's sessions and handles mean nothing here."""
    global state
    try:
        lib.getInfo()
        raise SystemExit("the module did not notice the fork")
    except PyKCS11.PyKCS11Error as e:
        assert e.value == PyKCS11.CKR_CRYPTOKI_NOT_INITIALIZED, e
    rv = lib.lib.C_Initialize()
    if rv != PyKCS11.CKR_OK:
        raise PyKCS11.PyKCS11Error(rv)
    state = login()


def begin():
    """multiprocessing would fork one worker after the other, for ever, for those that fail to start."""
    try:
        start()
    except BaseException:
        traceback.print_exc()
        if os.getppid() == parent:
            os.kill(parent, signal.SIGKILL)
        os._exit(1)


def job(n):
    return os.getpid(), sign(*state, b"job %d" % n)


if __name__ == "__main__":
    session, key = login()
    assert sign(session, key, b"before")
    # maxtasksperchild: workers end and others are forked in their place
    with multiprocessing.get_context("fork").Pool(3, begin, maxtasksperchild=4) as pool:
        done = pool.map(job, range(jobs), chunksize=1)
    assert len({pid for pid, _ in done}) > 1, "one worker did it all"
    print(sign(session, key, b"after").hex())  # the parent goes on
    for _, signature in done:
        print(signature.hex())
