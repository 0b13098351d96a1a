"""rcodesign.py RCODESIGN PROGRAM [adhoc|signed]: lets rcodesign read the signatures of a universal program, made ad hoc or with
a certificate, and compares what it computes."""
import re, subprocess, sys

tool, program, kind = sys.argv[1:] if len(sys.argv) > 3 else sys.argv[1:] + ["adhoc"]
text = subprocess.run([tool, "print-signature-info", program], check=True, capture_output=True, text=True).stdout
extension = program.endswith("/CryptoTokenKit")
wanted = {
    r" flags: CodeSignatureFlags\(" + {"adhoc": r"ADHOC \| ", "signed": ""}[kind] + r"RUNTIME\)": 2,  # both architectures
    r"signature_verifies: true": 2 if kind == "signed" else 0,
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
