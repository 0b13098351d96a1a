#!/usr/bin/env python3
"""Objects of Go archives for macOS, made ready to be linked into the PKCS #11 module.

  macho.py objects ARCHIVE DIR           takes the objects out of a Go archive (-buildmode=c-archive), prints their paths
  macho.py check FILE NAME EXPORTS.def   makes a linked library's exports those of EXPORTS.def: takes out the linker's own
                                         (zig's are __mh_dylib_header and ___dso_handle), refuses other differences; then
                                         says what else is wrong, one line each, and the code is 0 when it is right

In each object:
- what the linker would have dyld call when the library is loaded (the pointers of __DATA,__mod_init_func: Go's runtime)
  becomes plain data in __DATA,__sp_init, where cmd/cryptoki/shim/host_darwin.h finds it when it is wanted;
- every symbol that it defines becomes private extern: the library exports what the shim exports, and nothing else.

Formats: <mach-o/loader.h>, <mach-o/nlist.h>, ar(5).
"""
import os
import struct
import sys

MAGIC_64, OBJECT = 0xFEEDFACF, 1
LC_SEGMENT_64, LC_SYMTAB, LC_LOAD_DYLIB, LC_ID_DYLIB, LC_BUILD_VERSION, LC_DYLD_INFO_ONLY = 0x19, 0x2, 0xC, 0xD, 0x32, 0x80000022
DYLIB, MINIMUM = 6, 12 << 16
LIBRARIES = (
    "/usr/lib/libSystem.B.dylib",
    "/usr/lib/libresolv.9.dylib",
    "/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation",
    "/System/Library/Frameworks/Security.framework/Versions/A/Security",
)
LINKERS_OWN = {b"__mh_dylib_header", b"___dso_handle"}
TYPE, MOD_INIT, KEEP = 0xFF, 0x9, 0x10000000  # of a section's flags: S_MOD_INIT_FUNC_POINTERS, S_ATTR_NO_DEAD_STRIP; S_REGULAR is 0
N_STAB, N_PEXT, N_TYPE, N_EXT, N_UNDF = 0xE0, 0x10, 0x0E, 0x01, 0x00


def members(archive):
    """Names and contents, in order."""
    if archive[:8] != b"!<arch>\n":
        raise ValueError("is no archive")
    at, long_names = 8, b""
    while at + 60 <= len(archive):
        name, size = archive[at : at + 16].rstrip(), int(archive[at + 48 : at + 58])
        data = archive[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
        if name == b"//":
            long_names = data
        elif name in (b"/", b"__.SYMDEF", b"__.SYMDEF SORTED"):
            continue
        elif name.startswith(b"#1/"):
            n = int(name[3:])
            yield data[:n].rstrip(b"\0").decode(), data[n:]
        elif name[:1] == b"/":
            start = int(name[1:])
            yield long_names[start : long_names.index(b"\n", start)].rstrip(b"/").decode(), data
        else:
            yield name.rstrip(b"/").decode(), data


def prepared(data):
    """The object with the two changes, and how many initializers it has."""
    out = bytearray(data)
    magic, _, _, kind, commands = struct.unpack_from("<5I", out)
    if magic != MAGIC_64 or kind != OBJECT:
        raise ValueError("is no 64-bit object")
    at, late = 32, 0
    for _ in range(commands):
        command, size = struct.unpack_from("<2I", out, at)
        if command == LC_SEGMENT_64:
            for i in range(struct.unpack_from("<I", out, at + 64)[0]):
                section = at + 72 + 80 * i
                flags = struct.unpack_from("<I", out, section + 64)[0]
                if flags & TYPE == MOD_INIT:
                    struct.pack_into("<16s16s", out, section, b"__sp_init", b"__DATA")
                    struct.pack_into("<I", out, section + 64, flags & ~TYPE | KEEP)
                    late += struct.unpack_from("<Q", out, section + 40)[0] // 8
        elif command == LC_SYMTAB:
            symbols, count = struct.unpack_from("<2I", out, at + 8)
            for i in range(count):
                t = symbols + 16 * i + 4
                if not out[t] & N_STAB and out[t] & N_EXT and out[t] & N_TYPE != N_UNDF:
                    out[t] |= N_PEXT
        at += size
    return bytes(out), late


def uleb(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def to_uleb(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def read_trie(data, at=0, prefix=b""):
    """Names and what the export trie says of them."""
    size, start = uleb(data, at)
    found = {prefix: data[start : start + size]} if size else {}
    at = start + size + 1
    for _ in range(data[start + size]):
        end = data.index(0, at)
        edge = data[at:end]
        child, at = uleb(data, end + 1)
        found.update(read_trie(data, child, prefix + edge))
    return found


def write_trie(names):
    """An export trie of names and what is said of them."""
    nodes = []  # what is said, and the edges: text and number of the child

    def build(below):
        said, number, edges = below.pop(b"", b""), len(nodes), []
        nodes.append((said, edges))
        for first in sorted({n[:1] for n in below}):
            group = [n for n in below if n[:1] == first]
            edge = os.path.commonprefix(group)
            edges.append((edge, build({n[len(edge) :]: below[n] for n in group})))
        return number

    build(dict(names))
    offsets = [0] * len(nodes)
    while True:  # until the offsets, which have no fixed length, are right
        found, out = [], b""
        for said, edges in nodes:
            found.append(len(out))
            out += to_uleb(len(said)) + said + bytes([len(edges)]) + b"".join(e + b"\0" + to_uleb(offsets[n]) for e, n in edges)
        if found == offsets:
            return out
        offsets = found


def checked(data, name, wanted):
    """The library with its exports made right, and what is wrong with it."""
    out, wrong = bytearray(data), []
    magic, _, _, kind, commands = struct.unpack_from("<5I", out)
    if magic != MAGIC_64 or kind != DYLIB:
        raise ValueError("is no 64-bit library")
    at, own, minimum, late, early, looked = 32, None, None, 0, 0, False
    for _ in range(commands):
        command, size = struct.unpack_from("<2I", out, at)
        text = bytes(out[at : at + size])
        if command in (LC_ID_DYLIB, LC_LOAD_DYLIB):
            path = text[struct.unpack_from("<I", text, 8)[0] :].split(b"\0")[0].decode()
            if command == LC_ID_DYLIB:
                own = path
            elif path not in LIBRARIES:
                wrong.append(f"needs {path}, which a host may not have")
        elif command == LC_BUILD_VERSION:
            minimum = struct.unpack_from("<I", text, 12)[0]
        elif command == LC_SEGMENT_64:
            for i in range(struct.unpack_from("<I", text, 64)[0]):
                section, flags = text[72 + 80 * i : 88 + 80 * i].rstrip(b"\0"), struct.unpack_from("<I", text, 72 + 80 * i + 64)[0]
                length = struct.unpack_from("<Q", text, 72 + 80 * i + 40)[0]
                late += length if section == b"__sp_init" else 0
                early += length if flags & TYPE == MOD_INIT else 0
        elif command == LC_DYLD_INFO_ONLY:
            offset, length = struct.unpack_from("<2I", text, 40)
            looked = True
            exports = read_trie(bytes(out[offset : offset + length]))
            for n in LINKERS_OWN & set(exports):
                del exports[n]
            there = {n.decode() for n in exports}
            wrong += [f"does not export {n}" for n in sorted(wanted - there)] + [f"exports {n}" for n in sorted(there - wanted)]
            trie = write_trie(exports)
            if read_trie(trie) != exports or len(trie) > length:
                wrong.append("has exports that cannot be rewritten")
            else:
                out[offset : offset + length] = trie + bytes(length - len(trie))
        at += size
    if not looked:  # a linker that writes LC_DYLD_EXPORTS_TRIE
        wrong.append("has no exports that can be read")
    if own != name:
        wrong.append(f"calls itself {own}")
    if minimum != MINIMUM:
        wrong.append("is not built for macOS 12.0 and later")
    if (late, early) != (8, 8):
        wrong.append("starts Go's runtime when it is loaded, or has lost it")
    return bytes(out), wrong


def main(args):
    if len(args) == 4 and args[0] == "check":
        with open(args[3]) as f:
            wanted = {"_" + line.split()[0] for line in f.read().split("EXPORTS", 1)[1].splitlines() if line.split(";")[0].strip()}
        with open(args[1], "r+b") as f:
            data, wrong = checked(f.read(), args[2], wanted)
            f.seek(0)
            f.write(data)
        for w in wrong:
            print(f"{args[1]} {w}")
        return bool(wrong)
    if len(args) != 3 or args[0] != "objects":
        print(__doc__, file=sys.stderr)
        return 2
    late = 0
    with open(args[1], "rb") as f:
        archive = f.read()
    os.makedirs(args[2], exist_ok=True)
    for i, (name, data) in enumerate(members(archive)):
        try:
            data, found = prepared(data)
        except (ValueError, struct.error) as e:
            print(f"{args[1]}: {name} {e}", file=sys.stderr)
            return 1
        late += found
        path = os.path.join(args[2], f"{i:03d}-{os.path.basename(name)}")
        with open(path, "wb") as f:
            f.write(data)
        print(path)
    if late != 1:
        print(f"{args[1]}: has {late} initializers, not the one of Go's runtime", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
