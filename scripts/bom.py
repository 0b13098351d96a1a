"""Turns what `go version -m` prints into a bill of materials (CycloneDX 1.5, XML).

usage: go version -m FILE... | bom.py --version VERSION --epoch SECONDS [--name PRODUCT]

Each Go module that is built into one of the files is a component with its package URL
and, from go.sum, the SHA-256 of its source; so is Go itself. The same input gives the
same bytes.
"""
import base64
import sys
import time
import uuid
from xml.sax.saxutils import escape, quoteattr

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
version, epoch, product = arguments["--version"], int(arguments["--epoch"]), arguments.get("--name", "libSignPath.Cryptoki")
modules, go = {}, set()
for line in sys.stdin:
    fields = line.split()
    if not line.startswith("\t"):
        go.add(fields[-1].removeprefix("go"))
    elif fields[0] in ("dep", "=>"):
        modules[fields[1], fields[2]] = fields[3] if len(fields) > 3 else ""


def component(name, version, purl, digest=""):
    out = ['    <component type="library" bom-ref=%s>' % quoteattr(purl), "      <name>%s</name>" % escape(name), "      <version>%s</version>" % escape(version)]
    if digest.startswith("h1:"):  # the hash of the module's file list, go.sum's own form
        out.append('      <hashes><hash alg="SHA-256">%s</hash></hashes>' % base64.b64decode(digest[3:]).hex())
    return out + ["      <purl>%s</purl>" % escape(purl), "    </component>"]


out = []
for v in sorted(go):
    out += component("go", v, "pkg:generic/go@" + v)
for (path, v), digest in sorted(modules.items()):
    out += component(path, v, "pkg:golang/%s@%s" % (path, v), digest)
body = "\n".join(out)
print("""<?xml version="1.0" encoding="UTF-8"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.5" serialNumber="urn:uuid:%s" version="1">
  <metadata>
    <timestamp>%s</timestamp>
    <component type="library" bom-ref="%s"><name>%s</name><version>%s</version></component>
  </metadata>
  <components>
%s
  </components>
</bom>""" % (uuid.uuid5(uuid.NAMESPACE_URL, version + body), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)), product, product, escape(version), body))
