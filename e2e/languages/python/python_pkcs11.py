"""Signs a file with python-pkcs11: HOST MODULE LABEL FILE FOLDER, PIN in TEST_PIN.

FOLDER gets PADDING-HASH.sig for each way of signing; ECDSA signatures are r||s.
Then four threads and four forked processes sign the file, too.
"""
import hashlib
import multiprocessing
import os
import pathlib
import sys
import threading

import pkcs11
from pkcs11 import MGF, KeyType, Mechanism, ObjectClass

module, label, file, folder = sys.argv[1:]
content = pathlib.Path(file).read_bytes()


def open_session():
    token = pkcs11.lib(module).get_token(token_label="SignPath")
    return token.open(user_pin=os.environ["TEST_PIN"])


def find(session):
    return session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=label)


def write(name, signature):
    (pathlib.Path(folder) / (name + ".sig")).write_bytes(signature)


def one(key):
    if key.key_type == KeyType.RSA:
        return key.sign(content, mechanism=Mechanism.SHA256_RSA_PKCS)
    return key.sign(hashlib.sha256(content).digest(), mechanism=Mechanism.ECDSA)


def in_child(number):
    # python-pkcs11's own call for forked processes
    pkcs11.lib(module).reinitialize()
    with open_session() as session:
        write(f"fork{number}-" + ("pkcs1" if find(session).key_type == KeyType.RSA else "ecdsa") + "-sha256", one(find(session)))


with open_session() as session:
    key = find(session)
    public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=label)
    certificates = list(session.get_objects({pkcs11.Attribute.CLASS: ObjectClass.CERTIFICATE, pkcs11.Attribute.LABEL: label}))
    assert len(certificates) == 1 and public.key_type == key.key_type
    sha384 = hashlib.sha384(content).digest()
    if key.key_type == KeyType.RSA:
        write("pkcs1-sha256", one(key))
        write("pkcs1-sha512", key.sign(content, mechanism=Mechanism.SHA512_RSA_PKCS))
        write("pss-sha384", key.sign(sha384, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=(Mechanism.SHA384, MGF.SHA384, 48)))
        write("pss-sha256", key.sign(content, mechanism=Mechanism.SHA256_RSA_PKCS_PSS, mechanism_param=(Mechanism.SHA256, MGF.SHA256, 32)))
    else:
        write("ecdsa-sha256", one(key))
        write("ecdsa-sha384", key.sign(content, mechanism=Mechanism.ECDSA_SHA384))
    # a stream goes through C_SignUpdate
    if key.key_type == KeyType.RSA:
        write("stream-pkcs1-sha256", key.sign((content[i : i + 7] for i in range(0, len(content), 7)), mechanism=Mechanism.SHA256_RSA_PKCS))

    errors = []

    def thread(number):
        try:
            with open_or_share() as s:
                write(f"thread{number}-" + ("pkcs1" if key.key_type == KeyType.RSA else "ecdsa") + "-sha256", one(find(s)))
        except Exception as e:  # shown by the main thread
            errors.append(e)

    def open_or_share():
        # the login is the program's, not the session's
        return pkcs11.lib(module).get_token(token_label="SignPath").open()

    threads = [threading.Thread(target=thread, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    if errors:
        raise errors[0]

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=in_child, args=(i,)) for i in range(4)]
    [c.start() for c in children]
    [c.join(60) for c in children]
    assert [c.exitcode for c in children] == [0, 0, 0, 0], [c.exitcode for c in children]
    one(key)  # the parent goes on
