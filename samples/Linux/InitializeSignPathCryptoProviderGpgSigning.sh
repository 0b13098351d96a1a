# Lets gpg, and all tools that call gpg, sign with a key of the service. Source it, do not run it.
# shellcheck shell=bash
#
#   . samples/Linux/InitializeSignPathCryptoProviderGpgSigning.sh
#   InitializeSignPathCryptoProviderGpgSigning -ProjectSlug my-project -SigningPolicySlug release
#   gpg --batch -u "$GPG_KEY_ID" --armor --detach-sign artifact.tar.gz
#
# Parameters are those of RunScenario.sh; their names have no case:
#   -OrganizationId UUID, -ApiToken TOKEN, -ApiUrl URL, -TrustedCaFile FILE, -ConfigFile FILE
#       the crypto provider's settings; each may come from its variable (SIGNPATH_…) or a
#       configuration file instead, and is exported when it is given here
#   -ProjectSlug SLUG, -SigningPolicySlug SLUG
#       the key; default: the variables ProjectSlug and SigningPolicySlug, then
#       SIGNPATH_PROJECT_SLUG and SIGNPATH_SIGNING_POLICY_SLUG
#   -LibSignPathCryptokiPath SO
#       the module; default: the variable of that name, PKCS11_MODULE_PATH, or the one beside
#       or above the samples
#
# Afterwards these are set: GNUPGHOME (a new temporary folder with all of GnuPG's configuration and
# the public key), GPG_KEY_ID (fingerprint of the key), SIGNPATH_PROJECT_SLUG and
# SIGNPATH_SIGNING_POLICY_SLUG (so that tools see this one key), and what the daemons need. When the
# shell ends, daemons and folder go; an EXIT trap of yours still runs, after that. A trap that you set
# later replaces this one: then call CleanUpSignPathCryptoProviderGpgSigning yourself.
#
# Logs, in SIGNPATH_LOG_FILE_DIRECTORY or /tmp/SignPathLogs: SignPath.CryptoProviders.Cryptoki.txt,
# gnupg-pkcs11-scd.log, gpg-agent.log.
#
# Returns 0, or: 2 wrong parameter, 3 something is missing (a program, the module, a setting),
# 4 refused (token, policy, no OpenPGP key, expired key), 5 the service does not answer, 1 other.

if [ -z "${BASH_VERSION:-}" ]; then
	printf '%s\n' 'InitializeSignPathCryptoProviderGpgSigning: error: this shell is not Bash' 'hint: run your script with bash, or use the command "signpath gpg init"' >&2
	return 2
elif [ "${BASH_SOURCE[0]}" = "$0" ]; then
	printf '%s\n' 'InitializeSignPathCryptoProviderGpgSigning: error: this file only has functions, and changes nothing when it is run' "hint: Source it in your script: . '$0'" >&2
	exit 2
fi

_SignPathGpgFolder=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# _SignPathGpgError SENTENCE HINT
_SignPathGpgError() { printf 'InitializeSignPathCryptoProviderGpgSigning: error: %s\nhint: %s\n' "$1" "$2" >&2; }

# _SignPathGpgFind NAME: a file of the package, a checkout or the system
_SignPathGpgFind() {
	local f platform=linux-amd64
	[ "$(uname -m)" != aarch64 ] || platform=linux-arm64
	for f in "$_SignPathGpgFolder/$1" "$_SignPathGpgFolder/../$1" "$_SignPathGpgFolder/../../$1" "$_SignPathGpgFolder/../../dist/$platform/$1" \
		"/usr/local/lib/$1" "/usr/lib/$(uname -m)-linux-gnu/$1" "/usr/lib64/$1"; do
		[ ! -f "$f" ] || { realpath "$f"; return 0; }
	done
	return 1
}

InitializeSignPathCryptoProviderGpgSigning() {
	local project=${ProjectSlug:-${SIGNPATH_PROJECT_SLUG:-}} policy=${SigningPolicySlug:-${SIGNPATH_SIGNING_POLICY_SLUG:-}}
	local module=${LibSignPathCryptokiPath:-${PKCS11_MODULE_PATH:-}} program name variables folder rc=0
	while [ $# -gt 0 ]; do
		name=${1,,}
		name=${name/#--/-}
		case $name in
		-organizationid | -apitoken | -apiurl | -trustedcafile | -configfile | -projectslug | -signingpolicyslug | -libsignpathcryptokipath) ;;
		*) _SignPathGpgError "$1 is not a parameter" "see the comment in $_SignPathGpgFolder/InitializeSignPathCryptoProviderGpgSigning.sh"; return 2 ;;
		esac
		[ -n "${2:-}" ] || { _SignPathGpgError "$1 needs a value" "is a variable on your command line empty?"; return 2; }
		case $name in
		-organizationid) export SIGNPATH_ORGANIZATION_ID=$2 ;;
		-apitoken) export SIGNPATH_API_TOKEN=$2 ;;
		-apiurl) export SIGNPATH_API_URL=$2 ;;
		-trustedcafile) export SIGNPATH_TRUSTED_CA_FILE=$2 ;;
		-configfile) export SIGNPATH_CONFIG_FILE=$2 ;;
		-projectslug) project=$2 ;;
		-signingpolicyslug) policy=$2 ;;
		-libsignpathcryptokipath) module=$2 ;;
		esac
		shift 2
	done
	[ -n "$project" ] || { _SignPathGpgError "-ProjectSlug is missing" "it stands in the service's list of projects"; return 2; }
	[ -n "$policy" ] || { _SignPathGpgError "-SigningPolicySlug is missing" "it stands in the project's list of signing policies"; return 2; }
	[ -n "$module" ] || module=$(_SignPathGpgFind libSignPath.Cryptoki.so) ||
		{ _SignPathGpgError "libSignPath.Cryptoki.so was not found" "give its path with -LibSignPathCryptokiPath"; return 3; }
	# The program signpath does the work: beside the module, in the package, or installed.
	program=$(dirname "$module")/signpath
	{ [ -f "$program" ] && [ -x "$program" ]; } || program=$(_SignPathGpgFind signpath) || program=$(command -v signpath) ||
		{ _SignPathGpgError "the program signpath was not found" "put it beside libSignPath.Cryptoki.so, or on PATH"; return 3; }

	# An earlier call ends here; in a subshell that was its parent's, which goes on with it.
	[ "${_SignPathGpgOwner:-$BASHPID}" = "$BASHPID" ] || _SignPathGpgHome=''
	_SignPathGpgOwner=$BASHPID
	CleanUpSignPathCryptoProviderGpgSigning
	# Absolute, because the shell may be elsewhere when it cleans up.
	program=$(realpath -- "$program")
	folder=$(realpath -- "${TMPDIR:-/tmp}" 2>/dev/null) || folder=$TMPDIR
	[ ${#folder} -le 48 ] || folder=/tmp # Unix sockets below it need short paths
	_SignPathGpgOldHome=${GNUPGHOME:-} _SignPathGpgProgram=$program
	_SignPathGpgHome=$(mktemp -d "$folder/signpath-gpg.XXXXXXXX") ||
		{ _SignPathGpgHome='' && _SignPathGpgError "no temporary folder could be made in $folder" "set TMPDIR to a folder that you may write to"; return 3; }
	# shellcheck disable=SC2119
	_SignPathGpgTrapExit
	variables=$("$program" gpg init --home "$_SignPathGpgHome" --policy "$project/$policy" --module "$module" --env) || {
		rc=$?
		CleanUpSignPathCryptoProviderGpgSigning
		return $rc
	}
	eval "$variables"
}

# CleanUpSignPathCryptoProviderGpgSigning ends the daemons and deletes the temporary folder.
CleanUpSignPathCryptoProviderGpgSigning() {
	[ -n "${_SignPathGpgHome:-}" ] || return 0
	if ! "$_SignPathGpgProgram" gpg remove --home "$_SignPathGpgHome" 2>/dev/null; then
		rm -rf "$_SignPathGpgHome"
	fi
	_SignPathGpgHome=''
	unset GNUPGHOME GPG_KEY_ID GNUPG_PKCS11_SOCKETDIR
	[ -z "${_SignPathGpgOldHome:-}" ] || export GNUPGHOME=$_SignPathGpgOldHome
}

# _SignPathGpgTrapExit puts the cleaning before the EXIT trap of this shell. Subshells have none.
# The old commands run at the level of the trap and find in $? what the shell ends with, as
# they would without this one.
# shellcheck disable=SC2120 # what it sets are its own arguments
_SignPathGpgTrapExit() {
	[ "${_SignPathGpgTrapped:-}" != "$BASHPID" ] || return 0
	_SignPathGpgTrapped=$BASHPID _SignPathGpgOldTrap=''
	local old
	# A subshell tells of its parent's traps, which it does not run, until it changes one of its own.
	[ "$BASHPID" = "$$" ] || trap - RTMAX
	old=$(trap -p EXIT)
	if [ -n "$old" ]; then
		eval "set -- $old" # trap -- 'commands' EXIT
		_SignPathGpgOldTrap=$3
	fi
	# shellcheck disable=SC2154 # the first command sets it
	trap '_SignPathGpgRc=$?; CleanUpSignPathCryptoProviderGpgSigning || true
		if [ "$_SignPathGpgRc" = 0 ]; then eval "$_SignPathGpgOldTrap"
		else _SignPathGpgStatus "$_SignPathGpgRc" || eval "$_SignPathGpgOldTrap"; fi' EXIT
}
_SignPathGpgStatus() { return "$1"; }
