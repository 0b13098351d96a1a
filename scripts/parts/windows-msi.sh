# shellcheck shell=bash disable=SC2154
msi="wine64 gcc-mingw-w64-x86-64-win32 gcc-mingw-w64-i686-win32 msitools gcab osslsigncode libengine-pkcs11-openssl zip python3-pip"
part windows-msi default dist "packages for Windows Installer: tables, signatures, install, upgrade and removal under Wine; PowerShell scripts through a parser" "$msi" "windows"
part windows-msi-all more dist "the same with every choice of features, and packages for x86 and arm64" "$msi" "windows"

part_windows-msi() {
	local rc=0
	powershell_read || rc=1
	gotest windows-msi-tables -count=1 ./packaging/windows/msi || rc=1
	e2e windows-msi ./e2e/windows/msi . || rc=1
	return $rc
}
part_windows-msi-all() {
	windows_built 386 && windows_built arm64 && E2E_ALL=1 gotest windows-msi-all -count=1 -timeout 40m ./e2e/windows/msi
}

# powershell_read: no PowerShell is to be had here; a parser reads the scripts
powershell_read() {
	local scripts
	python_packages "$cache/windows/powershell" e2e/windows/powershell/requirements.txt || return 1
	mapfile -t scripts < <(find packaging/windows samples/Windows -name '*.ps1' | LC_ALL=C sort)
	if PYTHONPATH=$cache/windows/powershell python3 e2e/windows/powershell/check.py "${scripts[@]}" >"$out/powershell.txt" 2>&1 &&
		! PYTHONPATH=$cache/windows/powershell python3 e2e/windows/powershell/check.py e2e/windows/powershell/broken.ps1 >>"$out/powershell.txt" 2>&1; then
		line pass
	else
		line fail
		cat "$out/powershell.txt"
		return 1
	fi
}
