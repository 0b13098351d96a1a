# shellcheck shell=bash disable=SC2154
part notation default dist "notation's plug-in: sign and verify in a registry on loopback, protocol, refusals"
part notation-all more dist "the same with every key"

part_notation() { notation_tools && e2e notation ./e2e/notation .; }
part_notation-all() { notation_tools && E2E_ALL=1 e2e notation-all ./e2e/notation .; }

notation_tools() {
	go_tool E2E_NOTATION notation e2e/notation/tools github.com/notaryproject/notation/cmd/notation && registry_tool
}
registry_tool() { go_tool E2E_REGISTRY registry e2e/notation/registry .; }

# go_tool VARIABLE NAME FOLDER PACKAGE [BUILD-ARGUMENTS]: builds a program of the Go
# module in FOLDER, whose go.sum pins every source, and exports where it is.
go_tool() {
	local variable=$1 name=$2 folder=$3 package=$4
	shift 4
	mkdir -p "$cache/tools"
	(cd "$folder" && go build -mod=readonly -trimpath -ldflags='-s -w' "$@" -o "$cache/tools/$name" "$package") || return 1
	export "$variable=$cache/tools/$name"
}
