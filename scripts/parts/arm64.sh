# shellcheck shell=bash disable=SC2154
part arm64 more dist "Debian's tools for arm64 sign through the module for arm64, and the service for arm64 serves, in qemu's user mode" "qemu-user-static debootstrap openssl"

part_arm64() {
	scripts/build linux-arm64 >"$out/build-arm64.txt" 2>&1 || { cat "$out/build-arm64.txt"; return 1; }
	arm64_root && E2E_ARM64=$root/dist/linux-arm64 E2E_ARM64_ROOT=$cache/roots/arm64 e2e arm64 ./e2e/arm64 .
}

# arm64_root: Debian's packages for arm64, unpacked; nothing in it is started to make it
arm64_root() {
	local r=$cache/roots/arm64 f
	[ ! -e "$r/.base" ] || return 0
	as_root rm -rf --one-file-system "$r"
	mkdir -p "$cache/roots"
	as_root debootstrap --arch=arm64 --foreign --variant=minbase --include=openssl,libengine-pkcs11-openssl,opensc bookworm "$r" >"$out/arm64-root.txt" 2>&1 || { tail -n 5 "$out/arm64-root.txt"; return 1; }
	for f in "$r"/var/cache/apt/archives/*.deb; do as_root dpkg-deb -x "$f" "$r" || return 1; done
	as_root touch "$r/.base"
}
