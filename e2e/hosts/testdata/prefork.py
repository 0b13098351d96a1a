"""A Python host that forks its workers after it has loaded and used the module.

usage: prefork.py MODULE KEYID
"""
import ctypes, multiprocessing, os, sys

U = ctypes.c_ulong
module, key_id = sys.argv[1], sys.argv[2].encode()
lib = ctypes.CDLL(module)
DIGEST = bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


class Attribute(ctypes.Structure):
    _fields_ = [("type", U), ("value", ctypes.c_void_p), ("len", U)]


class Mechanism(ctypes.Structure):
    _fields_ = [("type", U), ("parameter", ctypes.c_void_p), ("len", U)]


def check(rv, *ok):
    if rv and rv not in ok:
        raise SystemExit("code 0x%x in process %d" % (rv, os.getpid()))


def start():
    check(lib.C_Initialize(None))
    session = U()
    check(lib.C_OpenSession(U(1), U(4), None, None, ctypes.byref(session)))
    check(lib.C_Login(session, U(1), b"CONFIG", U(6)), 0x100)
    cls, buf = U(3), ctypes.create_string_buffer(key_id, len(key_id))
    template = (Attribute * 2)(Attribute(0, ctypes.addressof(cls), 8), Attribute(0x102, ctypes.addressof(buf), len(key_id)))
    check(lib.C_FindObjectsInit(session, template, U(2)))
    key, n = U(), U()
    check(lib.C_FindObjects(session, ctypes.byref(key), U(1), ctypes.byref(n)))
    check(lib.C_FindObjectsFinal(session))
    if n.value != 1:
        raise SystemExit("key not found in process %d" % os.getpid())
    return session, key


def sign(session, key):
    mechanism = Mechanism(0x1041, None, 0)
    check(lib.C_SignInit(session, ctypes.byref(mechanism), key))
    out, n = ctypes.create_string_buffer(256), U(256)
    check(lib.C_Sign(session, DIGEST, U(len(DIGEST)), out, ctypes.byref(n)))
    return n.value


state = None


def begin():
    global state
    if lib.C_GetInfo(ctypes.create_string_buffer(256)) != 0x190:
        raise SystemExit("C_GetInfo in a worker is not CKR_CRYPTOKI_NOT_INITIALIZED")
    state = start()


def job(_):
    return [sign(*state) for _ in range(5)]


if __name__ == "__main__":
    session, key = start()
    assert sign(session, key) == 64
    with multiprocessing.get_context("fork").Pool(3, begin) as pool:
        done = sum(pool.map(job, range(12)), [])
    assert done == [64] * 60, done
    assert sign(session, key) == 64  # the parent goes on
    pid = os.fork()  # python-pkcs11's reinitialize(): finalize first, then initialize
    if pid == 0:
        check(lib.C_Finalize(None))
        assert sign(*start()) == 64
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    check(lib.C_Finalize(None))
    print("all good")
