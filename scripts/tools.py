"""The table of tested tools, made from test results.

usage: tools.py collect REPORT...   adds the rows of these reports of `go test -json` to build/tools.json,
                                    in place of what the same reports gave before (scripts/test does it)
       tools.py table               prints the table of build/tools.json
       tools.py write               puts it into README.md, between its two marks
       tools.py check               fails if README.md names a tool that no test tells of (scripts/lint)

A test tells of a tool with rig.Row; only rows of tests that passed count.
"""
import glob
import json
import os
import re
import sys

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
data = os.path.join(root, "build", "tools.json")
readme = os.path.join(root, "README.md")
begin, end = "<!-- tools: made by scripts/tools.py from test results -->\n", "<!-- /tools -->\n"
mark = "proved: "


def rows_of(report):
    """The rows of the tests in a report that passed."""
    told, passed, pieces = {}, set(), {}
    with open(report, encoding="utf-8", errors="replace") as f:
        for line in f:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            key = (event.get("Package"), event.get("Test"))
            if event.get("Action") == "pass":
                passed.add(key)
            elif event.get("Action") == "output":
                text = pieces.pop(key, "") + event["Output"]  # a long line comes in pieces
                if not text.endswith("\n"):
                    pieces[key] = text
                elif mark in text:
                    told.setdefault(key, []).append(json.loads(text.split(mark, 1)[1]))
    return [row for key, rows in told.items() if key in passed for row in rows]


def collect(reports):
    known = {}
    if os.path.exists(data):
        with open(data, encoding="utf-8") as f:
            known = json.load(f)
    for report in reports:
        rows = rows_of(report)
        name = os.path.basename(report).removesuffix(".json")
        if rows:
            known[name] = sorted({json.dumps(r, sort_keys=True) for r in rows})
    with open(data, "w", encoding="utf-8") as f:
        json.dump(known, f, indent=1, sort_keys=True)


def number(text):
    return [int(n) for n in re.findall(r"\d+", text)]


def keys(names):
    """rsa3072, p256, gpg-rsa3072 -> RSA 3072, EC P-256, OpenPGP RSA 3072"""
    groups = {}
    for name in names:
        kind, _, size = name.rpartition("-")
        kind = "OpenPGP " if kind == "gpg" else ""
        if size.startswith("rsa"):
            groups.setdefault(kind + "RSA", set()).add(size[3:])
        elif re.fullmatch(r"p\d+", size):
            groups.setdefault(kind + "EC", set()).add("P-" + size[1:])
        else:
            groups.setdefault(kind + {"ed25519": "Ed25519"}.get(size, size.upper()), set())
    return ", ".join((g + " " + ", ".join(sorted(v, key=number))).strip() for g, v in sorted(groups.items(), reverse=True))


def table():
    with open(data, encoding="utf-8") as f:
        rows = [json.loads(r) for rows in json.load(f).values() for r in rows]
    out = ["| tool | versions | keys | on | verified by |", "|---|---|---|---|---|"]
    for tool in sorted({r["tool"] for r in rows}, key=str.lower):
        mine = [r for r in rows if r["tool"] == tool]
        column = lambda c, key=None: ", ".join(sorted({r[c] for r in mine}, key=key))
        out.append("| %s | %s | %s | %s | %s |" % (tool, column("version", number), keys({r["key"] for r in mine}),
                   column("system", lambda s: (s.split()[0], number(s))), ", ".join(sorted({v for r in mine for v in r["verifier"].split(", ")}))))
    return "\n".join(out) + "\n"


def block():
    with open(readme, encoding="utf-8") as f:
        text = f.read()
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit("README.md must have each of these lines once:\n" + begin + end)
    a, b = text.index(begin) + len(begin), text.index(end)
    return text, a, b


def write():
    text, a, b = block()
    with open(readme, "w", encoding="utf-8") as f:
        f.write(text[:a] + table() + text[b:])


def check():
    text, a, b = block()
    calls = ""
    for name in glob.glob(os.path.join(root, "e2e", "**", "*_test.go"), recursive=True):
        with open(name, encoding="utf-8") as f:
            calls += f.read()
    rows = text[a:b].splitlines()[2:]
    unknown = [r.split(" | ")[0][2:] for r in rows if '"%s"' % r.split(" | ")[0][2:] not in calls]
    for tool in unknown:
        print('README.md names "%s" as tested, but no test has this text, so none can give it to rig.Row' % tool)
    if not rows:
        print("README.md has no table of tested tools: scripts/test, then python3 scripts/tools.py write")
    sys.exit(1 if unknown or not rows else 0)


what = sys.argv[1] if len(sys.argv) > 1 else ""
if what == "collect":
    collect(sys.argv[2:])
elif what == "table":
    print(table(), end="")
elif what in ("write", "check"):
    globals()[what]()
else:
    sys.exit(__doc__)
