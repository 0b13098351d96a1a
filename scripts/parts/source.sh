# shellcheck shell=bash disable=SC2154
# What needs the source tree alone.
part lint default source "form, vet, staticcheck, shellcheck, layer rules" "shellcheck"
part unit default source "all packages, with the race detector; a real PostgreSQL among them" "curl gcc gnupg libc6-dev opensc postgresql procps softhsm2"
part fuzz default source "every fuzz target for some seconds" "gcc libc6-dev"
part fuzz-all more source "every fuzz target for longer" "gcc libc6-dev"

part_lint() { if scripts/lint >"$out/lint.txt" 2>&1; then line pass; else line fail; cat "$out/lint.txt"; return 1; fi; }
part_unit() { CGO_ENABLED=1 gotest unit -race -timeout 20m ./internal/... ./cmd/... ./e2e/rig; }
part_fuzz() { fuzz_each 4; }
part_fuzz-all() { fuzz_each 25; }

fuzz_each() { # fuzz_each SECONDS
	local dir target try rc failed=0
	while read -r dir target; do
		for try in 1 2 3; do
			rc=0
			go test -run='^$' -fuzz="^$target\$" -fuzztime="$1s" "./$dir" >"$out/fuzz-$target.txt" 2>&1 || rc=1
			# The fuzzer's own end may miss its deadline on a busy machine: no input failed then.
			[ $rc = 1 ] && [ "$try" -lt 3 ] && grep -q 'context deadline exceeded' "$out/fuzz-$target.txt" && ! grep -q 'Failing input' "$out/fuzz-$target.txt" || break
		done
		if [ $rc = 0 ]; then line pass; else
			line fail
			failed=1
			echo "fuzzing $dir $target:"
			tail -n 30 "$out/fuzz-$target.txt"
		fi
	done < <(grep -rhoE --include='*_test.go' -H '^func Fuzz[A-Za-z0-9_]+' internal cmd | sed -E 's#^(.*)/[^/]*_test.go:func (Fuzz.*)$#\1 \2#')
	return "$failed"
}
