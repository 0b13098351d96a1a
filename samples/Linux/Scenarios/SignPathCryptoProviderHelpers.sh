# Functions for scripts that sign. Source it, do not run it.
# shellcheck shell=bash source-path=SCRIPTDIR
if [ -z "${BASH_VERSION:-}" ]; then
	printf '%s\n' 'SignPathCryptoProviderHelpers: error: this shell is not Bash' 'hint: run your script with bash' >&2
	return 2
elif [ "${BASH_SOURCE[0]}" = "$0" ]; then
	printf '%s\n' 'SignPathCryptoProviderHelpers: error: this file only has functions, and changes nothing when it is run' "hint: Source it in your script: . '$0'" >&2
	exit 2
fi
# InitializeSignPathCryptoProviderGpgSigning and what undoes it: see there.
. "$(dirname "${BASH_SOURCE[0]}")/../InitializeSignPathCryptoProviderGpgSigning.sh"
