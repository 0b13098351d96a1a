package winrig

import (
	"os"
	"path/filepath"
	"sort"
	"strings"

	"signpath/e2e/rig"
)

// source is a file of the stand-ins.
func source(name string) string {
	return filepath.Join(rig.Root, "e2e", "windows", "rig", "dlls", name)
}

// standIns are the DLLs that a taught prefix has besides bcryptprimitives.dll: what
// they stand in for is told at the head of each source, and in README.md.
var standIns = map[string][]string{
	"mfc42.dll":    {source("mfc42.c"), source("mfc42.def")},
	"ncrypt.dll":   {ours, source("ncrypt.c"), source("ncrypt.def"), "-ladvapi32"},
	"crypt32.dll":  {ours, source("crypt32.c"), source("message.c"), source("timestamp.c"), source("der.c"), source("digest.c"), source("crypt32.def"), "-ladvapi32", "-lbcrypt", "-lwininet"},
	"wintrust.dll": {source("wintrust.c"), source("wintrust.def")},
	"testsip.dll": {source("sip.c"), source("sip_pe.c"), source("sip_msi.c"), source("sip_cab.c"), source("sip_script.c"), source("encoders.c"), source("der.c"), source("digest.c"),
		source("testsip.def"), "-lcrypt32", "-lbcrypt", "-lole32", "-luuid"},
}

// ours: mingw's headers say that these functions are imported; here they are made.
const ours = "-DWINIMPM="

// wineDLLs is where Debian keeps Wine's own DLLs.
const wineDLLs = "/usr/lib/x86_64-linux-gnu/wine"

// teach installs the stand-ins and returns their registry's text.
func (p *Prefix) teach() (registry string, err error) {
	for name, args := range standIns {
		dll, err := compile(p.Arch, name, args...)
		if err != nil {
			return "", err
		}
		if err := p.Put(dll, p.System32(name)); err != nil {
			return "", err
		}
	}
	// Wine's own DLLs under other names. Wine looks for such files in the folder that
	// WINEDLLPATH names, and for the half for Unix of one beside it.
	path := filepath.Join(p.Dir, "dlls")
	for name, original := range map[string]string{"wcrypt32.dll": "crypt32.dll", "wwintrust.dll": "wintrust.dll"} {
		for _, to := range []string{p.System32(name), filepath.Join(path, "x86_64-windows", name)} {
			if err := p.Put(filepath.Join(wineDLLs, "x86_64-windows", original), to); err != nil {
				return "", err
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(path, "x86_64-unix"), 0o755); err != nil {
		return "", err
	}
	if err := os.Symlink(filepath.Join(wineDLLs, "x86_64-unix", "crypt32.so"), filepath.Join(path, "x86_64-unix", "wcrypt32.so")); err != nil {
		return "", err
	}
	// mssign32.dll is Microsoft's where it lies beside the program, else Wine's.
	p.extra = append(p.extra, "WINEDLLPATH="+path, "WINEDLLOVERRIDES=ncrypt,crypt32,wintrust=n;mssign32=n,b")
	return taughtRegistry(), nil
}

// packages are the subject types of the packages in testsip.dll.
var packages = map[string]string{
	"programs and libraries": "{C689AAB8-8E78-11D0-8C47-00C04FC295EE}",
	"installer packages":     "{000C10F1-0000-0000-C000-000000000046}",
	"cabinets":               "{C689AABA-8E78-11D0-8C47-00C04FC295EE}",
	"PowerShell":             "{603BCC1F-4B59-4E08-B724-D2C6297EF351}",
}

// operations of a package, all five by one DLL: Wine loads no others.
var operations = map[string]string{
	"GetSignedDataMsg": "SIPGet", "PutSignedDataMsg": "SIPPut", "RemoveSignedDataMsg": "SIPRemove", "CreateIndirectData": "SIPCreate", "VerifyIndirectData": "SIPVerify",
}

// encoders by the number or the object identifier of what they encode.
var encoders = map[string]string{
	"#2003": "EncodeIndirectData", "1.3.6.1.4.1.311.2.1.4": "EncodeIndirectData",
	"#2006": "EncodeStatementType", "1.3.6.1.4.1.311.2.1.11": "EncodeStatementType",
	"#18": "EncodeTimeRequest",
}

// taughtRegistry registers the subject interface packages and the encoders.
func taughtRegistry() string {
	functions := map[string]string{}
	for _, id := range packages {
		for operation, function := range operations {
			functions[`EncodingType 0\CryptSIPDll`+operation+`\`+id] = function
		}
	}
	for what, function := range encoders {
		functions[`EncodingType 1\CryptDllEncodeObject\`+what] = function
	}
	var parts []string
	for key, function := range functions {
		parts = append(parts, `[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Cryptography\OID\`+key+"]\n\"Dll\"=\"testsip.dll\"\n\"FuncName\"="+quote(function)+"\n\n")
	}
	sort.Strings(parts)
	return strings.Join(parts, "")
}
