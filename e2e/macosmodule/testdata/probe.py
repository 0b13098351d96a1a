"""Loads the module as a host does, and says what it answers. Argument: the module."""
import ctypes
import os
import sys
import time


def threads():
    n = len(os.listdir("/proc/self/task"))
    return "1 thread" if n == 1 else "more threads"


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def in_child(what):
    """Runs what in a forked child, which has 20 s."""
    pid = os.fork()
    if pid == 0:
        what()
        os._exit(0)
    end = time.monotonic() + 20
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            sys.exit("the child hangs")
        time.sleep(0.01)


os.chdir(os.path.dirname(sys.argv[1]))
m = ctypes.CDLL("./" + os.path.basename(sys.argv[1]))
os.chdir("/")
say("loaded: " + threads())
pointer, n = ctypes.c_void_p(), ctypes.c_ulong()
say(f"C_GetFunctionList {m.C_GetFunctionList(ctypes.byref(pointer))}: {threads()}")
say(f"C_GetSlotList {m.C_GetSlotList(1, None, ctypes.byref(n)):x}")
# The one fork that works: nobody before it used the module.
first = os.fork()
if first == 0:
    os._exit(m.C_Initialize(None) or m.C_Finalize(None))
before = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
say(f"C_Initialize {m.C_Initialize(None):x}: {threads()}")


def child():
    say(f"child C_GetSlotList {m.C_GetSlotList(1, None, ctypes.byref(n)):x}")
    say(f"child C_Finalize {m.C_Finalize(None):x}")
    say(f"child C_Finalize {m.C_Finalize(None):x}")
    say(f"child C_Initialize {m.C_Initialize(None):x}")


in_child(child)
say(f"a child that initialises first {before}")
say(f"parent C_GetSlotList {m.C_GetSlotList(1, None, ctypes.byref(n)):x}")
say(f"C_Initialize {m.C_Initialize(None):x}")
say(f"C_Finalize {m.C_Finalize(None):x}")
import _ctypes

_ctypes.dlclose(m._handle)
say("unloaded: " + threads())
again = ctypes.CDLL(sys.argv[1])
say(f"C_Initialize {again.C_Initialize(None):x}")
say(f"C_Finalize {again.C_Finalize(None):x}")
