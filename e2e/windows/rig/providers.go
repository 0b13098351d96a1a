package winrig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Names of the providers and the file names of their DLLs.
const (
	KSP = "SignPathKSP"
	CSP = "SignPathCSP"

	kspDLL = "SignPath.Ksp.dll"
	cspDLL = "SignPath.Csp.dll"
)

// ProviderType is the CryptoAPI type of SignPathCSP: PROV_RSA_AES.
const ProviderType = 24

// providers puts the built DLLs into system32, those that there are, and returns the
// registry's text that an installation would write.
func (p *Prefix) providers() (registry string, err error) {
	for dll, text := range map[string]func() string{
		kspDLL: func() string { return kspRegistry(KSP, kspDLL) },
		cspDLL: func() string { return cspRegistry(CSP, `C:\windows\system32\`+cspDLL, ProviderType) },
	} {
		switch err := p.Put(filepath.Join(Dist(p.Arch), dll), p.System32(dll)); {
		case err == nil:
			registry += text()
		case !errors.Is(err, os.ErrNotExist):
			return "", err
		}
	}
	return registry, nil
}

// kspRegistry is how CNG finds a key storage provider: what BCryptRegisterProvider and
// BCryptAddContextFunctionProvider write (Cryptography API: Next Generation, "CNG
// Cryptographic Configuration").
func kspRegistry(name, image string) string {
	root := `HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Cryptography`
	return fmt.Sprintf("[%[1]s\\Providers\\%[2]s\\UM]\n\"Image\"=%[3]s\n\n"+
		"[%[1]s\\Providers\\%[2]s\\UM\\00010001]\n\"Flags\"=dword:00000001\n\"Functions\"=%[4]s\n\n"+
		"[%[1]s\\Configuration\\Local\\Default\\00010001\\KEY_STORAGE]\n\"Providers\"=%[5]s\n\n",
		root, name, quote(image), multiString("KEY_STORAGE"), multiString(name))
}

// cspRegistry is how CryptoAPI finds a provider ("CryptoAPI Cryptographic Service
// Providers", registration). The signature is not looked at since Windows 8.
func cspRegistry(name, image string, providerType uint32) string {
	return fmt.Sprintf("[HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Cryptography\\Defaults\\Provider\\%s]\n"+
		"\"Image Path\"=%s\n\"Type\"=dword:%08x\n\"SigInFile\"=dword:00000000\n\"Signature\"=hex:00\n\n", name, quote(image), providerType)
}

// RegisterKSP puts a key storage provider that is not the product's into the prefix.
func (p *Prefix) RegisterKSP(t *testing.T, name, dll string) {
	t.Helper()
	p.install(t, dll)
	p.Import(t, kspRegistry(name, filepath.Base(dll)))
}

// RegisterCSP puts a cryptographic service provider of a type into the prefix.
func (p *Prefix) RegisterCSP(t *testing.T, name, dll string, providerType uint32) {
	t.Helper()
	p.install(t, dll)
	p.Import(t, cspRegistry(name, `C:\windows\system32\`+filepath.Base(dll), providerType))
}

func (p *Prefix) install(t *testing.T, dll string) {
	t.Helper()
	if strings.EqualFold(filepath.Ext(dll), ".dll") {
		if err := p.Put(dll, p.System32(filepath.Base(dll))); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s is not a DLL", dll)
}
