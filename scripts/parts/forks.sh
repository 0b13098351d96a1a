# shellcheck shell=bash disable=SC2154
forks="apache2-bin gunicorn libengine-pkcs11-openssl python3-pykcs11"
forks_systems="debian11=nginx-light,apache2-bin,libengine-pkcs11-openssl,python3-pykcs11 debian13=nginx-light,apache2-bin,libengine-pkcs11-openssl,pkcs11-provider,python3-pykcs11,python3-pkcs11"
part forks default dist "NGINX, Apache and Python fork workers that sign, in Debian 11, 12 and 13; reloads, killed workers" "$forks" "$forks_systems"
part forks-all more dist "the same, longer" "$forks" "$forks_systems"

part_forks() { unpacked_nginx && e2e forks ./e2e/forks .; }
part_forks-all() { unpacked_nginx && E2E_ALL=1 e2e forks-all ./e2e/forks .; }

# unpacked_nginx: this Debian's NGINX, without its service, which would take port 80
unpacked_nginx() {
	local d=$cache/nginx
	if [ ! -x "$d/usr/sbin/nginx" ]; then
		rm -rf "$d.new"
		mkdir -p "$d.new"
		(
			cd "$d.new"
			apt-get download -q nginx || { as_root apt-get update -q && apt-get download -q nginx; }
		) >"$out/nginx.txt" 2>&1 || { tail -n 5 "$out/nginx.txt"; return 1; }
		dpkg -x "$d.new"/nginx_*.deb "$d.new" && rm -rf "$d" && mv "$d.new" "$d" || return 1
	fi
	export E2E_NGINX=$d/usr/sbin/nginx
}
