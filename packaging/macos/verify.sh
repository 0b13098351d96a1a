#!/bin/bash
# Tries SignPathCryptoTokenKit.app and libSignPath.Cryptoki.dylib on a Mac: everything that cannot be shown elsewhere.
# Prints a report that a program can read. Works with the bash 3.2 of macOS.
# shellcheck disable=SC2317 # functions that others call by name
set -u

usage() {
	cat <<'TXT'
usage: verify.sh [--app APP] [--module DYLIB] [--config FILE] [--identity NAME] [--installer NAME] [--key LABEL] [--report FILE]

  --app APP          SignPathCryptoTokenKit.app (default: beside this script, then /Applications)
  --module DYLIB     libSignPath.Cryptoki.dylib (default: beside this script)
  --config FILE      configuration of the providers, with the API token: readable by you alone (chmod 600)
                     (default: the variable SIGNPATH_CONFIG_FILE)
  --identity NAME    common name, or a part of it, of the certificate that codesign takes (default: the first identity)
  --installer NAME   the same for productsign (default: no such check)
  --key LABEL        PROJECT/POLICY of an RSA key, for pkcs11-tool (default: the first RSA key)
  --report FILE      write the report there too

The report: a head, one line per check (name, PASS, FAIL or ABSENT, detail; separated by tabs), and the counts.
ABSENT: what the check needs is not there; the detail says what.
Exit code: 0 nothing failed, 1 something failed, 2 wrong arguments, 3 there was nothing to check.

The app is started and ended, ctkd is ended once (macOS starts it again). Keys sign some small files of this script's own.
TXT
}

app='' module='' config=${SIGNPATH_CONFIG_FILE:-} identity='' installer='' key='' report=''
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--app | --module | --config | --identity | --installer | --key | --report)
		[ $# -ge 2 ] || { usage >&2; exit 2; }
		case $1 in
		--app) app=$2 ;; --module) module=$2 ;; --config) config=$2 ;; --identity) identity=$2 ;;
		--installer) installer=$2 ;; --key) key=$2 ;; --report) report=$2 ;;
		esac
		shift 2
		;;
	*) usage >&2; exit 2 ;;
	esac
done

here=$(cd "$(dirname "$0")" && pwd)
if [ -z "$app" ]; then
	app=/Applications/SignPathCryptoTokenKit.app
	[ ! -d "$here/SignPathCryptoTokenKit.app" ] || app=$here/SignPathCryptoTokenKit.app
fi
[ -n "$module" ] || module=$here/libSignPath.Cryptoki.dylib
case $config in '' | /*) ;; *) config=$PWD/$config ;; esac # the app has another working folder
extension_id=${VERIFY_EXTENSION_ID:-io.signpath.apps.CryptoTokenKit}
class_id=${VERIFY_CLASS_ID:-io.signpath.apps.SignPathCryptoTokenKit.ctk}
lsregister=${VERIFY_LSREGISTER:-/System/Library/Frameworks/CoreServices.framework/Frameworks/LaunchServices.framework/Support/lsregister}
patience=${VERIFY_PATIENCE:-40} # seconds; certificates may take 20

work=$(mktemp -d) || exit 3
pid=''
finish() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT

passed=0 failed=0 absent=0
: >"$work/report"
line() { printf '%s\n' "$1" | tee -a "$work/report"; }
# result NAME PASS|FAIL|ABSENT DETAIL: one line; the detail without tabs and ends of lines
result() {
	local detail
	detail=$(printf '%s' "$3" | tr '\t\r\n' '   ' | cut -c 1-300)
	case $2 in PASS) passed=$((passed + 1)) ;; FAIL) failed=$((failed + 1)) ;; *) absent=$((absent + 1)) ;; esac
	line "$(printf '%s\t%s\t%s' "$1" "$2" "$detail")"
}
said=''
# run COMMAND…: keeps what it says
run() { said=$("$@" 2>&1); }
# check NAME COMMAND…: passes when the command does
check() {
	local name=$1
	shift
	if run "$@"; then result "$name" PASS "$said"; else result "$name" FAIL "$said"; fi
}
# refused NAME COMMAND…: passes when the command fails
refused() {
	local name=$1
	shift
	if run "$@"; then result "$name" FAIL "accepted"; else result "$name" PASS "$said"; fi
}
have() { command -v "$1" >/dev/null 2>&1; }
# within COMMAND…: until it passes, for as long as patience lasts
within() {
	local begin=$SECONDS
	until "$@"; do
		[ $((SECONDS - begin)) -lt "$patience" ] || return 1
		sleep 1
	done
}
tokens_there() { security list-smartcards 2>/dev/null | grep -F "$class_id:" >/dev/null; }
tokens_gone() { ! tokens_there; }
# identities: lines "HASH NAME" of what codesign may take
identities() { security find-identity -p codesigning 2>/dev/null | sed -n 's/^ *[0-9]*) \([0-9A-F]*\) "\(.*\)".*/\1 \2/p' | sort -u; }
identity_there() { identities | grep -F "$identity" >/dev/null; }
# app_runs: and sets pid
app_runs() { pid=$(pgrep -n -f "$app/Contents/MacOS/SignPathCryptoTokenKit" | head -n 1) && [ -n "$pid" ]; }
# spoil FILE OFFSET: changes two bytes that a signature covers: the middle may be padding between architectures
spoil() { printf '\377\376' | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null; }

verify_app() {
	local binary=$app/Contents/MacOS/SignPathCryptoTokenKit appex=$app/Contents/PlugIns/CryptoTokenKit.appex
	check app-signature codesign --verify --strict --deep --verbose=2 "$app"
	run codesign -d --entitlements - --xml "$appex"
	case $said in
	*com.apple.security.app-sandbox*com.apple.security.network.client* | *com.apple.security.network.client*com.apple.security.app-sandbox*) result app-entitlements PASS "sandbox, network client" ;;
	*) result app-entitlements FAIL "$said" ;;
	esac
	run codesign -dv "$app"
	case $said in
	*Signature=adhoc*) result app-notarised ABSENT "signed ad hoc: for this Mac's own use only" ;;
	*) check app-notarised spctl --assess --type execute --verbose=2 "$app" ;;
	esac
	check app-architectures lipo "$binary" -verify_arch arm64 x86_64
	if [ -x "$lsregister" ]; then check app-registered "$lsregister" -f "$app"; else result app-registered ABSENT "$lsregister"; fi
	if [ -z "$config" ]; then
		result app-started ABSENT "no --config, no SIGNPATH_CONFIG_FILE"
		return
	fi
	check app-started open -n "$app" --args --config "$config"
	within app_runs
	if run pluginkit -m -v -p com.apple.ctk-tokens && printf '%s' "$said" | grep -F "$extension_id" >/dev/null; then
		result extension-known PASS "$said"
	else
		result extension-known FAIL "pluginkit does not list $extension_id: $said"
	fi
	if within tokens_there; then
		result tokens-listed PASS "$(security list-smartcards 2>&1 | grep -F "$class_id:")"
	else
		result tokens-listed FAIL "security list-smartcards does not list $class_id within $patience s; see ~/Library/Logs/SignPathCryptoTokenKit"
		return
	fi
	[ -n "$identity" ] || identity=$(identities | sed -n '1s/^[0-9A-F]* //p')
	if [ -n "$identity" ] && within identity_there; then
		result identity-listed PASS "$identity"
		verify_codesign
		verify_productsign
		verify_ctkd
	else
		result identity-listed FAIL "security find-identity -p codesigning lists ${identity:-nothing}"
	fi
	verify_quit
}

verify_codesign() {
	local file=$work/program
	cp /usr/bin/true "$file" && codesign --remove-signature "$file" 2>/dev/null
	check codesign-signs codesign --force --sign "$identity" --identifier io.signpath.verification "$file"
	check codesign-verifies codesign --verify --strict --verbose=2 "$file"
	spoil "$file" 17408 # architectures begin at 4096 or 16384, and are larger than 16 KiB
	refused codesign-refuses-changed codesign --verify --strict "$file"
	cp /usr/bin/true "$work/runtime"
	check codesign-runtime codesign --force --sign "$identity" --options runtime --identifier io.signpath.verification.runtime "$work/runtime"
}

verify_productsign() {
	local package=$work/unsigned.pkg
	if [ -z "$installer" ]; then
		result productsign-signs ABSENT "no --installer"
		return
	fi
	mkdir -p "$work/root" && echo verification >"$work/root/file"
	check pkgbuild-builds pkgbuild --root "$work/root" --identifier io.signpath.verification --version 1 --install-location /tmp "$package"
	check productsign-signs productsign --sign "$installer" "$package" "$work/signed.pkg"
	check productsign-verifies pkgutil --check-signature "$work/signed.pkg"
	if [ -f "$work/signed.pkg" ]; then
		cp "$work/signed.pkg" "$work/changed.pkg"
		spoil "$work/changed.pkg" 200 # in the table of contents, which is what is signed
		refused productsign-refuses-changed pkgutil --check-signature "$work/changed.pkg"
	fi
}

# ctkd forgets the app when it is ended; the app notices, and starts itself again.
verify_ctkd() {
	check ctkd-ended killall ctkd
	sleep "${VERIFY_PAUSE:-3}"
	if within tokens_there && within identity_there; then result ctkd-survived PASS "certificates are back"; else result ctkd-survived FAIL "no certificates within $patience s after killall ctkd"; fi
	within app_runs
}

verify_quit() {
	if [ -z "$pid" ]; then
		result app-quit FAIL "its process was not found"
		return
	fi
	check app-quit kill -TERM "$pid"
	pid=''
	if within tokens_gone; then result tokens-removed PASS "no token of $class_id"; else result tokens-removed FAIL "the tokens are still listed $patience s after the end of the app"; fi
}

verify_module() {
	local listed
	check module-signature codesign --verify --strict "$module"
	check module-architectures lipo "$module" -verify_arch arm64 x86_64
	if [ -z "$config" ]; then
		result module-lists ABSENT "no --config, no SIGNPATH_CONFIG_FILE"
		return
	fi
	export SIGNPATH_CONFIG_FILE=$config
	if have pkcs11-tool; then
		check module-lists pkcs11-tool --module "$module" --login --pin CONFIG --list-objects
		listed=$said
		[ -n "$key" ] || key=$(printf '%s\n' "$listed" | awk '/Public Key Object; RSA/ { rsa = 1 } rsa && $1 == "label:" { print $2; exit }')
		if [ -n "$key" ]; then verify_module_signs; else result module-signs ABSENT "no RSA key is listed"; fi
	else
		result module-lists ABSENT "pkcs11-tool (brew install opensc)"
	fi
	if have ssh-keygen; then
		run env SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true ssh-keygen -D "$module"
		case $said in
		*ssh-rsa* | *ecdsa-sha2*) result module-ssh-keygen PASS "$(printf '%s\n' "$said" | cut -d ' ' -f 1 | sort | uniq -c)" ;;
		*"code signature"* | *"library load"* | *"not permitted"*) result module-ssh-keygen ABSENT "this ssh-keygen loads libraries of its own maker only: $said" ;;
		*) result module-ssh-keygen FAIL "$said" ;;
		esac
	else
		result module-ssh-keygen ABSENT ssh-keygen
	fi
	if have python3 && python3 -c 'import ctypes' 2>/dev/null; then
		check module-fork python3 -c "$probe" "$module"
	else
		result module-fork ABSENT python3
	fi
}

verify_module_signs() {
	local hex
	hex=$(printf '%s' "$key" | od -An -v -tx1 | tr -d ' \n')
	echo verification >"$work/data"
	check module-signs pkcs11-tool --module "$module" --login --pin CONFIG --id "$hex" --sign --mechanism SHA256-RSA-PKCS --input-file "$work/data" --output-file "$work/signature"
	run pkcs11-tool --module "$module" --login --pin CONFIG --id "$hex" --read-object --type pubkey --output-file "$work/public.der"
	openssl rsa -pubin -inform DER -in "$work/public.der" -out "$work/public.pem" 2>/dev/null
	check module-verifies openssl dgst -sha256 -verify "$work/public.pem" -signature "$work/signature" "$work/data"
	echo changed >"$work/data"
	refused module-refuses-changed openssl dgst -sha256 -verify "$work/public.pem" -signature "$work/signature" "$work/data"
}

# A forked child gets an error in no time and no hang; the parent goes on.
probe='
import ctypes, os, sys, time
m = ctypes.CDLL(sys.argv[1]); n = ctypes.c_ulong(); m.C_Initialize(None)
pid = os.fork()
if pid == 0:
    listed = m.C_GetSlotList(1, None, ctypes.byref(n)); m.C_Finalize(None)
    os._exit(0 if (listed, m.C_Initialize(None)) == (0x190, 5) else 1)
end = time.monotonic() + 20
while True:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done: break
    if time.monotonic() > end: os.kill(pid, 9); os.waitpid(pid, 0); sys.exit("the forked child hangs")
    time.sleep(0.1)
if status: sys.exit("the forked child ended with %x" % status)
sys.exit(0 if m.C_GetSlotList(1, None, ctypes.byref(n)) == 0 else "the parent is disturbed")
'

line "signpath macos verification 1"
if have sw_vers; then result system PASS "macOS $(sw_vers -productVersion) $(uname -m)"; else result system ABSENT "sw_vers: this is no Mac"; fi
if [ -d "$app" ]; then verify_app; else result app ABSENT "$app"; fi
if [ -f "$module" ]; then verify_module; else result module ABSENT "$module"; fi
line "$passed passed, $failed failed, $absent absent"
[ -z "$report" ] || cp "$work/report" "$report"
[ "$failed" = 0 ] || exit 1
[ -d "$app" ] || [ -f "$module" ] || exit 3
exit 0
