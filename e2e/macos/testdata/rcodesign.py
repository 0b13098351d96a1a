"""rcodesign.py RCODESIGN PROGRAM: lets rcodesign read the signatures of a universal program, and compares what it computes."""
import re, subprocess, sys

tool, program = sys.argv[1:]
text = subprocess.run([tool, "print-signature-info", program], check=True, capture_output=True, text=True).stdout
extension = program.endswith("/CryptoTokenKit")
wanted = {
    r"flags: CodeSignatureFlags\(ADHOC \| RUNTIME\)": 2,  # both architectures
    r"com\.apple\.security\.app-sandbox": 2 if extension else 0,
    r"com\.apple\.security\.network\.client": 2 if extension else 0,
}
for pattern, least in wanted.items():
    found = len(re.findall(pattern, text))
    if found < least or least == 0 and found:
        sys.exit(f"{program}: {found} of {pattern} where {least} are wanted:\n{text}")
# A digest that rcodesign computes differently shows up as a mismatch or an error in its report.
if re.search(r"mismatch|error", text, re.I):
    sys.exit(f"{program}:\n{text}")
