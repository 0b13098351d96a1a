"""A Python host that sets the credentials itself, after exec and before it loads the module.

usage: environment.py MODULE KEYID
"""
import json
import os
import subprocess
import sys

HOST = """
import ctypes, json, os, sys
module, saved = json.load(sys.stdin)
os.environ.update(saved)  # Go's own copy of the environment, made at exec, does not have these
lib = ctypes.CDLL(module)
U = ctypes.c_ulong

def login():
    s = U()
    assert lib.C_Initialize(None) == 0
    assert lib.C_OpenSession(U(1), U(4), None, None, ctypes.byref(s)) == 0
    rv = lib.C_Login(s, U(1), b'CONFIG', U(6))
    assert lib.C_Finalize(None) == 0
    return rv

assert login() == 0
os.environ['SIGNPATH_API_TOKEN'] = 'wrong'
assert login() == 7  # CKR_ARGUMENTS_BAD
os.environ['SIGNPATH_API_TOKEN'] = saved['SIGNPATH_API_TOKEN']
assert login() == 0
print('all good')
"""

saved = {k: v for k, v in os.environ.items() if k.startswith("SIGNPATH_")}
clean = {k: v for k, v in os.environ.items() if k not in saved}
sys.exit(subprocess.run([sys.executable, "-c", HOST], input=json.dumps([sys.argv[1], saved]), env=clean, universal_newlines=True).returncode)
