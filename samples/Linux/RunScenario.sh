#!/usr/bin/env bash
# Runs one of the sample scenarios: here, or in a container that is built for it.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
	cat <<'TXT'
usage: ./RunScenario.sh -Scenario NAME [PARAMETER VALUE]...

  -Scenario NAME               what to run; -List names all scenarios
  -OrganizationId UUID         organization (or SIGNPATH_ORGANIZATION_ID, or a configuration file)
  -ApiToken TOKEN              API token of a submitter; better: SIGNPATH_API_TOKEN or a configuration
                               file, because other users of this machine see command lines
  -ProjectSlug SLUG            project
  -SigningPolicySlug SLUG      signing policy

  -ApiUrl URL                  the service's address, ending in /Api (or SIGNPATH_API_URL)
  -TrustedCaFile FILE          root of the service's TLS certificate, if the system does not know it
  -ConfigFile FILE             JSON file with these settings (or SIGNPATH_CONFIG_FILE)
  -LibSignPathCryptokiPath SO  the module; default: libSignPath.Cryptoki.so beside or above the samples
  -CertificateFile FILE        signing certificate, then its issuers, PEM or DER; default: read from the module
  -RootCertificateFile FILE    root that verifiers trust; default: the last certificate of the chain
  -File FILE                   sign a copy of this file instead of a made-up one
  -Image NAME@sha256:DIGEST    Cosign, Notation: sign this image in its registry
  -OutputDirectory DIR         results; default: Output/NAME here, or in the current folder
  -TimestampUrl URL            time stamping authority, for the tools that take one
  -TimestampRootFile FILE      its root, if verifiers do not know it

  -OpenSslDgst, -OpenSslPkeyutl, -OpenSslCms   only these commands of the scenario OpenSSL
  -OpenSslSetup HOW            Variables, ConfigFile or Provider; default: what is installed

  -Container BASE              run in a container: debian:11, debian:12, debian:13, ubuntu:20.04,
                               ubuntu:22.04, ubuntu:24.04, redhat/ubi8, redhat/ubi9, rockylinux:9, fedora
  -ContainerEngine PROGRAM     docker or podman; default: what is installed
  -List, -Help

Names of parameters have no case. Exit code: 0 signed and verified, 1 a tool failed,
2 wrong parameter, 3 something is missing (a tool, the module, a setting).

example: export SIGNPATH_CONFIG_FILE=$PWD/signpath.json
         ./RunScenario.sh -Scenario OpenSSL -ProjectSlug hash-signing -SigningPolicySlug test-signing -OpenSslDgst
TXT
}
stop() { # stop CODE SENTENCE [HINT]
	printf 'RunScenario: error: %s\n' "$2" >&2
	[ $# -lt 3 ] || printf 'hint: %s\n' "$3" >&2
	exit "$1"
}
scenarios() { find "$here/Scenarios" -mindepth 2 -maxdepth 2 -name '*.sh' | awk -F/ '{ print tolower($NF) "\t" $0 }' | sort | cut -f2; }
list() {
	printf '%-16s %s\n' NAME 'WHAT IT DOES'
	scenarios | while read -r f; do printf '%-16s %s\n' "$(basename "$f" .sh)" "$(sed -n '2s/^# *//p' "$f")"; done
}

# What each parameter sets; the names in lower case, because they have no case.
declare -A values=(
	[-scenario]=Scenario [-projectslug]=ProjectSlug [-signingpolicyslug]=SigningPolicySlug
	[-organizationid]=SIGNPATH_ORGANIZATION_ID [-apitoken]=SIGNPATH_API_TOKEN
	[-apiurl]=SIGNPATH_API_URL [-trustedcafile]=SIGNPATH_TRUSTED_CA_FILE [-configfile]=SIGNPATH_CONFIG_FILE
	[-libsignpathcryptokipath]=LibSignPathCryptokiPath [-certificatefile]=CertificateFile [-rootcertificatefile]=RootCertificateFile
	[-file]=File [-image]=Image [-outputdirectory]=OutputDirectory [-timestampurl]=TimestampUrl [-timestamprootfile]=TimestampRootFile [-opensslsetup]=OpenSslSetup
	[-container]=Container [-containerengine]=ContainerEngine
)
declare -A switches=([-openssldgst]=OpenSslDgst [-opensslpkeyutl]=OpenSslPkeyutl [-opensslcms]=OpenSslCms)
Scenario='' Container='' ContainerEngine=''
while [ $# -gt 0 ]; do
	name=${1,,}
	name=${name/#--/-}
	case $name in
	-list) list; exit 0 ;;
	-help | -h | '-?') usage; exit 0 ;;
	esac
	if [ -n "${switches[$name]:-}" ]; then
		export "${switches[$name]}=1"
		shift
		continue
	fi
	[ -n "${values[$name]:-}" ] || stop 2 "$1 is not a parameter" "see -Help"
	next=${2:-}
	next=${next,,}
	[ -n "$next" ] && [ -z "${values[$next]:-}${switches[$next]:-}" ] || stop 2 "$1 needs a value" "is a variable on your command line empty?"
	export "${values[$name]}=$2"
	shift 2
done

[ -n "$Scenario" ] || stop 2 "-Scenario is missing" "one of: $(scenarios | sed 's#.*/##; s#\.sh$##' | tr '\n' ' ')"
script=''
while read -r f; do
	s=$(basename "$f" .sh)
	[ "${s,,}" != "${Scenario,,}" ] || script=$f Scenario=$s
done < <(scenarios)
[ -n "$script" ] || stop 2 "there is no scenario \"$Scenario\"" "one of: $(scenarios | sed 's#.*/##; s#\.sh$##' | tr '\n' ' ')"

# ---- settings that every scenario needs
[ -n "${SIGNPATH_CONFIG_FILE:-}" ] || {
	[ -n "${SIGNPATH_ORGANIZATION_ID:-}" ] || stop 3 "the organization is missing" "-OrganizationId, SIGNPATH_ORGANIZATION_ID or -ConfigFile"
	[ -n "${SIGNPATH_API_TOKEN:-}" ] || stop 3 "the API token is missing" "set SIGNPATH_API_TOKEN, or give -ConfigFile or -ApiToken"
}
[ -n "${ProjectSlug:-}" ] || stop 2 "-ProjectSlug is missing" "it stands in the service's list of projects"
[ -n "${SigningPolicySlug:-}" ] || stop 2 "-SigningPolicySlug is missing" "it stands in the project's list of signing policies"
for v in SIGNPATH_CONFIG_FILE SIGNPATH_TRUSTED_CA_FILE CertificateFile RootCertificateFile TimestampRootFile File; do
	[ -z "${!v:-}" ] || [ -r "${!v}" ] || stop 3 "$v: the file ${!v} cannot be read"
	[ -z "${!v:-}" ] || export "$v=$(realpath "${!v}")"
done

# ---- the module: given, or in the package, or in a checkout, or installed
if [ -z "${LibSignPathCryptokiPath:-}" ]; then
	case $(uname -m) in aarch64) platform=linux-arm64 ;; *) platform=linux-amd64 ;; esac
	for f in "$here"/libSignPath.Cryptoki.so "$here"/../libSignPath.Cryptoki.so "$here/../../dist/$platform/libSignPath.Cryptoki.so" \
		/usr/local/lib/libSignPath.Cryptoki.so /usr/lib/*-linux-gnu/libSignPath.Cryptoki.so /usr/lib64/libSignPath.Cryptoki.so; do
		[ ! -r "$f" ] || { LibSignPathCryptokiPath=$f; break; }
	done
fi
[ -n "${LibSignPathCryptokiPath:-}" ] || stop 3 "libSignPath.Cryptoki.so was not found" "copy it beside RunScenario.sh, or give -LibSignPathCryptokiPath"
[ -r "$LibSignPathCryptokiPath" ] || stop 3 "the module $LibSignPathCryptokiPath cannot be read" "-LibSignPathCryptokiPath names libSignPath.Cryptoki.so"
LibSignPathCryptokiPath=$(realpath "$LibSignPathCryptokiPath")
export LibSignPathCryptokiPath
if [ -w "$here" ]; then default=$here; else default=$PWD; fi # an installed package is not ours to write to
OutputDirectory=${OutputDirectory:-$default/Output/$Scenario}
mkdir -p "$OutputDirectory" || stop 3 "the folder $OutputDirectory cannot be made" "-OutputDirectory names one that you may write to"
OutputDirectory=$(realpath "$OutputDirectory")
export OutputDirectory

if [ -z "$Container" ]; then
	export SIGNPATH_LOG_FILE_DIRECTORY=${SIGNPATH_LOG_FILE_DIRECTORY:-/tmp/SignPathLogs}
	began=$(date '+%Y-%m-%d %H:%M:%S')
	rc=0
	bash "$script" || rc=$?
	if [ $rc != 0 ]; then
		# The tools show a code at best; the module's log has the cause and what to do.
		causes=$(cat "$SIGNPATH_LOG_FILE_DIRECTORY"/SignPath.CryptoProviders.Cryptoki*.txt 2>/dev/null | grep -E '^[0-9: .-]+(WARN|ERROR|FATAL) ' | awk -v began="$began" '$0 >= began' | tail -n 5) || true
		[ -z "$causes" ] || printf '\nThe module says (%s):\n%s\n' "$SIGNPATH_LOG_FILE_DIRECTORY" "$causes" >&2
		printf '\nRunScenario: error: the scenario %s failed\n' "$Scenario" >&2
		[ $rc = 3 ] || rc=1
	fi
	exit $rc
fi

for f in "$here" "$OutputDirectory" "$LibSignPathCryptokiPath" "${SIGNPATH_CONFIG_FILE:-}" "${SIGNPATH_TRUSTED_CA_FILE:-}" "${CertificateFile:-}" "${RootCertificateFile:-}" "${TimestampRootFile:-}" "${File:-}"; do
	[[ $f != *:* ]] || stop 2 "a container engine takes no path with a colon: $f" "choose another folder"
done

# ---- in a container: build it from the container file, show it the samples, the module and the files
case $Container in
debian:* | ubuntu:*) file=$here/DebianBased/Dockerfile ;;
*ubi* | *rocky* | *alma* | *fedora* | *centos* | *rhel*) file=$here/RedHat/Dockerfile ;;
*) stop 2 "no container file for the base \"$Container\"" "DebianBased/Dockerfile and RedHat/Dockerfile serve debian:*, ubuntu:*, redhat/ubi*, rockylinux:*, fedora:*" ;;
esac
if [ -z "$ContainerEngine" ]; then
	for ContainerEngine in docker podman ''; do [ -z "$ContainerEngine" ] || ! command -v "$ContainerEngine" >/dev/null || break; done
fi
[ -n "$ContainerEngine" ] && command -v "$ContainerEngine" >/dev/null || stop 3 "no container engine was found" "install docker or podman, or leave out -Container to run the scenario here"
image=signpath-samples:$(printf '%s' "$Container" | tr -c 'a-z0-9.\n' -)
"$ContainerEngine" build --build-arg "BASE=$Container" -t "$image" -f "$file" "$here" || stop 1 "the container file $file could not be built"
mkdir -p "$default/SignPathLogs"
options=(--rm --network host -v "$here:/samples:ro" -v "$default/SignPathLogs:/tmp/SignPathLogs" -v "$OutputDirectory:/output" -v "$LibSignPathCryptokiPath:/usr/local/lib/libSignPath.Cryptoki.so:ro"
	-e OutputDirectory=/output -e LibSignPathCryptokiPath=/usr/local/lib/libSignPath.Cryptoki.so)
for f in "$(dirname "$LibSignPathCryptokiPath")/signpath" "$here/signpath" "$here/../signpath"; do # the scenarios with GnuPG use it
	[ ! -f "$f" ] || { options+=(-v "$(realpath "$f"):/usr/local/bin/signpath:ro"); break; }
done
for v in SIGNPATH_CONFIG_FILE SIGNPATH_TRUSTED_CA_FILE CertificateFile RootCertificateFile TimestampRootFile File; do
	[ -z "${!v:-}" ] || options+=(-v "${!v}:/input/$v-$(basename "${!v}"):ro" -e "$v=/input/$v-$(basename "${!v}")")
done
# The programs beside the module: GnuPG's set-up and Notation need them.
for f in signpath notation-signpath; do
	[ ! -x "$(dirname "$LibSignPathCryptokiPath")/$f" ] || options+=(-v "$(dirname "$LibSignPathCryptokiPath")/$f:/usr/local/lib/$f:ro")
done
# Names only: the engine takes the values from the environment, so that no secret is on a command line.
for v in SIGNPATH_ORGANIZATION_ID SIGNPATH_API_TOKEN SIGNPATH_API_URL ProjectSlug SigningPolicySlug TimestampUrl Image http_proxy https_proxy no_proxy OpenSslDgst OpenSslPkeyutl OpenSslCms OpenSslSetup; do
	[ -z "${!v:-}" ] || options+=(-e "$v")
done
exec "$ContainerEngine" run "${options[@]}" "$image" /samples/RunScenario.sh -Scenario "$Scenario"
