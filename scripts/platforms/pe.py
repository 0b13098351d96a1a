#!/usr/bin/env python3
"""Version resources for Windows files, and checks of finished ones.

  pe.py resource ARCH VERSION NAME DESCRIPTION OUT   writes a COFF object for the linker, with the version resource
  pe.py add FILE VERSION NAME DESCRIPTION            adds it to a finished program, with a manifest: Go's own linker takes
                                                     no object from outside of the source folder
  pe.py untime FILE                                  removes the times of the making, which not every linker can leave out
  pe.py check FILE NAME VERSION [EXPORTS.def]        says what is wrong with FILE, one line each; nothing is printed and
                                                     the code is 0 when it is right
The same words and files in give the same bytes out.

ARCH is amd64, 386 or arm64. Layouts: Microsoft's "PE Format" and "VS_VERSIONINFO structure".
"""
import re
import struct
import sys

# GOARCH: machine, the relocation "32-bit address without image base"
MACHINES = {"amd64": (0x8664, 3), "386": (0x014C, 7), "arm64": (0xAA64, 2)}
PRODUCT = "SignPath Crypto Providers"
RT_VERSION, RT_MANIFEST = 16, 24
ENGLISH = 0x409

# What Windows 10 and later bring along; nothing else may be needed at load.
WINDOWS = re.compile(r"^(kernel32|ntdll|advapi32|msvcrt|ucrtbase|crypt32|bcrypt|ncrypt|user32|ws2_32|api-ms-win-(core|crt)-[a-z0-9-]+)\.dll$", re.I)

MANIFEST = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0">
<trustInfo xmlns="urn:schemas-microsoft-com:asm.v3"><security><requestedPrivileges><requestedExecutionLevel level="asInvoker" uiAccess="false"/></requestedPrivileges></security></trustInfo>
<compatibility xmlns="urn:schemas-microsoft-com:compatibility.v1"><application><supportedOS Id="{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}"/></application></compatibility>
<application xmlns="urn:schemas-microsoft-com:asm.v3"><windowsSettings><longPathAware xmlns="http://schemas.microsoft.com/SMI/2016/WindowsSettings">true</longPathAware></windowsSettings></application>
</assembly>
"""


def padded(data, to=4):
    return data + b"\0" * (-len(data) % to)


def node(key, value=b"", children=(), text=False):
    """One structure of VERSIONINFO: length, length of the value (in characters for text), type, key, value, children."""
    head = padded(b"\0" * 6 + (key + "\0").encode("utf-16-le"))[6:]
    body = head + value
    for child in children:
        body = padded(b"\0" * 6 + body)[6:] + child
    return struct.pack("<HHH", len(body) + 6, len(value) // 2 if text else len(value), int(text)) + body


def version_info(version, name, description):
    numbers = ([int(n) for n in re.match(r"[0-9.]*", version).group().split(".") if n] + [0] * 4)[:4]
    high, low = numbers[0] << 16 | numbers[1], numbers[2] << 16 | numbers[3]
    kind = 2 if name.lower().endswith(".dll") else 1
    fixed = struct.pack("<13I", 0xFEEF04BD, 0x10000, high, low, high, low, 0x3F, 0, 0x40004, kind, 0, 0, 0)
    words = {
        "CompanyName": "SignPath", "FileDescription": description, "FileVersion": version, "InternalName": name,
        "OriginalFilename": name, "ProductName": PRODUCT, "ProductVersion": version,
    }
    strings = [node(k, (v + "\0").encode("utf-16-le"), text=True) for k, v in words.items()]
    table = node("StringFileInfo", children=[node("040904b0", children=strings, text=True)], text=True)
    translation = node("VarFileInfo", children=[node("Translation", struct.pack("<HH", ENGLISH, 1200))], text=True)
    return node("VS_VERSION_INFO", fixed, [table, translation])


def directory(entries):
    """A resource directory of numbered entries: (number, offset or offset | 1 << 31)."""
    return struct.pack("<IIHHHH", 0, 0, 0, 0, 0, len(entries)) + b"".join(struct.pack("<II", *e) for e in entries)


def resources(version, name, description):
    """The content of a .rsrc section, and the places in it where its address has to be added."""
    items = [(RT_VERSION, 1, version_info(version, name, description))]
    if name.lower().endswith(".exe"):
        items.append((RT_MANIFEST, 1, MANIFEST.encode()))
    down, size = 1 << 31, 24  # to a subdirectory; a directory with one entry
    top = 16 + 8 * len(items)
    leaves = top + 2 * size * len(items)
    data = leaves + 16 * len(items)
    tree = directory([(kind, down | top + 2 * size * i) for i, (kind, _, _) in enumerate(items)])
    entries, blobs = b"", b""
    for i, (_, number, blob) in enumerate(items):
        tree += directory([(number, down | top + 2 * size * i + size)]) + directory([(ENGLISH, leaves + 16 * i)])
        entries += struct.pack("<IIII", data + len(blobs), len(blob), 0, 0)
        blobs += padded(blob, 8)
    return tree + entries + blobs, [leaves + 16 * i for i in range(len(items))]


def resource(arch, version, name, description):
    machine, relocation = MACHINES[arch]
    section, places = resources(version, name, description)
    table = b"".join(struct.pack("<IIH", at, 0, relocation) for at in places)
    at = 20 + 40
    header = struct.pack("<HHIIIHH", machine, 1, 0, at + len(section) + len(table), 1, 0, 0)
    header += struct.pack("<8sIIIIIIHHI", b".rsrc", 0, 0, len(section), at, at + len(section), 0, len(places), 0, 0x40300040)
    symbol = struct.pack("<8sIhHBB", b".rsrc", 0, 1, 0, 3, 0)
    return header + section + table + symbol + struct.pack("<I", 4)


def with_resource(program, version, name, description):
    """The program with one more section."""
    pe, out = PE(program), bytearray(padded(program, 512))
    header = pe.header
    alignment, in_file, headers = pe.u32(header + 56), pe.u32(header + 60), pe.u32(header + 84)
    entry = header + 24 + pe.u16(header + 20) + 40 * len(pe.sections)
    if pe.directories[2][0] or in_file != 512 or entry + 40 > headers:
        raise ValueError("has a resource already, or no room for one")
    address = max(-(-(start + max(size, raw)) // alignment) * alignment for _, size, start, raw, _ in pe.sections)
    section, places = resources(version, name, description)
    section = bytearray(section)
    for at in places:
        struct.pack_into("<I", section, at, struct.unpack_from("<I", section, at)[0] + address)
    size, raw = len(section), padded(bytes(section), in_file)
    struct.pack_into("<8sIIIIIIHHI", out, entry, b".rsrc", size, address, len(raw), len(out), 0, 0, 0, 0, 0x40000040)
    struct.pack_into("<H", out, header + 6, len(pe.sections) + 1)
    struct.pack_into("<I", out, header + 80, -(-(address + size) // alignment) * alignment)
    struct.pack_into("<II", out, pe.base + 16, address, size)
    return bytes(out) + raw


class PE:
    """A finished file, as far as the checks need it."""

    def __init__(self, data):
        self.data = data
        at = self.header = self.u32(0x3C)
        if data[:2] != b"MZ" or data[at : at + 4] != b"PE\0\0":
            raise ValueError("is no PE file")
        self.machine, sections, self.time, _, _, optional, _ = struct.unpack_from("<HHIIIHH", data, at + 4)
        self.wide = self.u16(at + 24) == 0x20B
        self.flags = self.u16(at + 24 + 70)
        self.base = base = at + 24 + (112 if self.wide else 96)
        self.directories = [struct.unpack_from("<II", data, base + 8 * i) for i in range(self.u32(base - 4))]
        self.sections = [struct.unpack_from("<8sIIII", data, at + 24 + optional + 40 * i) for i in range(sections)]

    def u16(self, at):
        return struct.unpack_from("<H", self.data, at)[0]

    def u32(self, at):
        return struct.unpack_from("<I", self.data, at)[0]

    def offset(self, address):
        for _, size, start, raw, pointer in self.sections:
            if start <= address < start + max(size, raw):
                return address - start + pointer
        raise ValueError("has a pointer that leads nowhere")

    def text(self, address):
        at = self.offset(address)
        return self.data[at : self.data.index(b"\0", at)].decode()

    def exports(self):
        address, _ = self.directories[0]
        if not address:
            return []
        at = self.offset(address)
        names = self.offset(self.u32(at + 32)) if self.u32(at + 24) else 0
        return sorted(self.text(self.u32(names + 4 * i)) for i in range(self.u32(at + 24)))

    def module_name(self):
        return self.text(self.u32(self.offset(self.directories[0][0]) + 12))

    def imports(self):
        found = []
        for index, size, name in ((1, 20, 12), (13, 32, 4)):  # at load; delayed
            address, _ = self.directories[index]
            at = self.offset(address) if address else 0
            while at and self.u32(at + name):
                found.append(self.text(self.u32(at + name)))
                at += size
        return sorted(found)

    def resources(self):
        """The numbers of the resource types."""
        address, size = self.directories[2]
        if not address:
            return b"", []
        at = self.offset(address)
        count = self.u16(at + 12) + self.u16(at + 14)
        return self.data[at : at + size], [self.u32(at + 16 + 8 * i) for i in range(count)]


def untimed(data):
    """The file with zeros for the times in its header, export directory and debug directory."""
    pe, out = PE(data), bytearray(data)
    places = [pe.header + 8]
    if pe.directories[0][0]:
        places.append(pe.offset(pe.directories[0][0]) + 4)
    if pe.directories[6][0]:
        start = pe.offset(pe.directories[6][0])
        places += [at + 4 for at in range(start, start + pe.directories[6][1], 28)]
    for at in places:
        struct.pack_into("<I", out, at, 0)
    return bytes(out)


def wanted_exports(path):
    lines = open(path).read().split("EXPORTS", 1)[1].splitlines()
    return sorted(line.split(";")[0].split("=")[0].split()[0] for line in lines if line.split(";")[0].strip())


def problems(path, name, version, definitions=None):
    pe = PE(open(path, "rb").read())
    for bit, what in ((0x40, "address space layout randomization"), (0x100, "no-execute")) + (((0x20, "high-entropy addresses"),) if pe.wide else ()):
        if not pe.flags & bit:
            yield f"is built without {what}"
    if pe.time:
        yield "has a time of its making, so that no build is like another"
    for dll in pe.imports():
        if not WINDOWS.match(dll):
            yield f"needs {dll}, which is no part of Windows"
    block, types = pe.resources()
    for key, value in (("ProductName", PRODUCT), ("ProductVersion", version), ("FileVersion", version), ("OriginalFilename", name)):
        if RT_VERSION not in types or not re.search(re.escape((key + "\0").encode("utf-16-le")) + b"(\0\0)?" + re.escape((value + "\0").encode("utf-16-le")), block):
            yield f"has not {value} as {key} in its version resource"
    if name.lower().endswith(".exe"):
        if RT_MANIFEST not in types:
            yield "has no manifest"
        return
    if not pe.directories[5][0] or not pe.directories[5][1]:
        yield "has no relocations, so that it cannot move"
    if pe.module_name() != name:
        yield f"calls itself {pe.module_name()}"
    if definitions:
        wanted, there = wanted_exports(definitions), pe.exports()
        for n in sorted(set(wanted) ^ set(there)):
            yield f"{'does not export' if n in wanted else 'exports'} {n}"


def main(args):
    if len(args) == 6 and args[0] == "resource":
        with open(args[5], "wb") as f:
            f.write(resource(args[1], args[2], args[3], args[4]))
        return 0
    if len(args) == 5 and args[0] == "add":
        with open(args[1], "r+b") as f:
            program = with_resource(f.read(), *args[2:])
            f.seek(0)
            f.write(program)
        return 0
    if len(args) == 2 and args[0] == "untime":
        with open(args[1], "r+b") as f:
            library = untimed(f.read())
            f.seek(0)
            f.write(library)
        return 0
    if len(args) in (4, 5) and args[0] == "check":
        try:
            found = list(problems(*args[1:]))
        except (ValueError, IndexError, struct.error) as e:
            found = [str(e)]
        for p in found:
            print(f"{args[1]} {p}")
        return bool(found)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
