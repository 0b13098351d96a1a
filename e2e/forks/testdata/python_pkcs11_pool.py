"""Workers that multiprocessing forks after python-pkcs11 has loaded and used the module.

usage: python_pkcs11_pool.py MODULE KEYID JOBS    prints one signature a line, in hexadecimal
"""
import multiprocessing
import os
import signal
import sys
import traceback

import pkcs11
from pkcs11 import KeyType, Mechanism, ObjectClass

parent = os.getpid()
module, key_id, jobs = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
lib = pkcs11.lib(module)


def login():
    session = lib.get_token(token_label="SignPath").open(user_pin="CONFIG")
    return session, session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=key_id)


def sign(key, text):
    return key.sign(text, mechanism=Mechanism.SHA256_RSA_PKCS if key.key_type == KeyType.RSA else Mechanism.ECDSA_SHA256)


state = None


def start():
    global state
    lib.reinitialize()
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
    return os.getpid(), sign(state[1], b"job %d" % n)


if __name__ == "__main__":
    session, key = login()
    assert sign(key, b"before")
    with multiprocessing.get_context("fork").Pool(3, begin, maxtasksperchild=4) as pool:
        done = pool.map(job, range(jobs), chunksize=1)
    assert len({pid for pid, _ in done}) > 1, "one worker did it all"
    print(sign(key, b"after").hex())
    for _, signature in done:
        print(signature.hex())
