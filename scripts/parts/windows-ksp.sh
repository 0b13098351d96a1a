# shellcheck shell=bash
ksp="wine64 gcc-mingw-w64-x86-64-win32 python3-minimal openssl xmlsec1"
part windows-ksp default dist "SignPathKSP under Wine: its function table from C, a Go client, the calls of mage, .NET, certutil, SunMSCAPI, errors, threads, wild handles, regsvr32" "$ksp" "windows"
part windows-ksp-all more dist "the same with every key and 10,000 signatures" "$ksp" "windows"

part_windows-ksp() { e2e windows-ksp ./e2e/windows/ksp .; }
part_windows-ksp-all() { E2E_ALL=1 gotest windows-ksp-all -count=1 -timeout 60m ./e2e/windows/ksp; }
