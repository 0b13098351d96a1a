"""A web application that signs, for a server that forks its workers (gunicorn --preload).

GET /TEXT answers the process id and the signature over TEXT, in hexadecimal.
"""
import os

import PyKCS11

lib = PyKCS11.PyKCS11Lib()
lib.load(os.environ["PKCS11_MODULE_PATH"])  # in the parent
owner, state = os.getpid(), None


def key():
    """The key of this process: after a fork the module is initialised anew."""
    global owner, state
    if owner != os.getpid():
        rv = lib.lib.C_Initialize()
        if rv != PyKCS11.CKR_OK:
            raise PyKCS11.PyKCS11Error(rv)
        owner, state = os.getpid(), None
    if state is None:
        session = lib.openSession(lib.getSlotList(tokenPresent=True)[0])
        session.login("CONFIG")
        state = session, session.findObjects([(PyKCS11.CKA_CLASS, PyKCS11.CKO_PRIVATE_KEY), (PyKCS11.CKA_ID, tuple(os.environ["KEY_ID"].encode()))])[0]
    return state


key()


def application(environ, start_response):
    session, k = key()
    signature = bytes(session.sign(k, environ["PATH_INFO"][1:].encode(), PyKCS11.Mechanism(PyKCS11.CKM_ECDSA_SHA256, None)))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("%d %s\n" % (os.getpid(), signature.hex())).encode()]
