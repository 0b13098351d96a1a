"""Reads the JSON that `go test -json` wrote, shows what failed, and counts.

usage: summary.py [--extra PASSED:FAILED] FILE...

Prints the output of every failed test and, as the last line,
"N passed, N failed, N skipped". Ends with 1 if something failed or was skipped,
or if nothing ran.
"""
import collections
import json
import sys

count = collections.Counter()
files = sys.argv[1:]
if files and files[0] == "--extra":
    passed, failed = files[1].split(":")
    count["pass"], count["fail"] = int(passed), int(failed)
    files = files[2:]
for name in files:
    output, failed, skipped = collections.defaultdict(list), [], []
    with open(name, encoding="utf-8", errors="replace") as f:
        for line in f:
            try:
                event = json.loads(line)
            except ValueError:
                print(line, end="")  # a build error, say
                continue
            key = (event.get("Package") or event.get("ImportPath"), event.get("Test"))
            action = event["Action"]
            if action in ("output", "build-output"):
                output[key].append(event["Output"])
            elif action in ("pass", "fail", "skip"):
                if key[1]:
                    count[action] += 1
                if action == "fail":
                    failed.append(key)
                    if not key[1] and not any(k[0] == key[0] and k[1] for k in failed):
                        count["fail"] += 1  # a package that did not build or died
                elif action == "skip" and key[1]:
                    skipped.append(key)
    parents = {(p, t.rsplit("/", 1)[0]) for p, t in failed if t and "/" in t}
    for key in failed:
        if key not in parents and (key[1] or not any(k[0] == key[0] and k[1] for k in failed)):
            print("--- FAILED:", key[0], key[1] or "")
            print("".join(output[key])[-8000:])
    if any(not t for _, t in failed):
        for key, text in output.items():
            if key not in failed and key[1] is None and key[0] and " [" in key[0]:
                print("".join(text)[-4000:])
    for key in skipped:
        print("--- SKIPPED:", key[0], key[1], "".join(output[key])[-300:])
print("%d passed, %d failed, %d skipped" % (count["pass"], count["fail"], count["skip"]))
sys.exit(1 if count["fail"] or count["skip"] or not count["pass"] else 0)
