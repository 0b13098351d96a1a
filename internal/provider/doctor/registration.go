package doctor

import (
	"bytes"
	"debug/pe"
	"fmt"
	"io"
	"os"
	"strings"

	"signpath/internal/provider/winstore"
)

// Registration is how Windows finds one of our providers, from programs of one width.
type Registration struct {
	Provider   string // SignPathKSP or SignPathCSP
	Bits       int    // 64 or 32: of the programs that would load it
	Registered bool
	Listed     bool   // KSP: it is in the list of key storage providers, which certutil and mage read
	Type       uint32 // CSP: type of provider
	Image      string // path of the DLL
	Problem    string // why it cannot be loaded; "" for nothing known
	Wants      string // GOARCH of the programs
	Has        string // GOARCH of the DLL
}

// providerType is PROV_RSA_AES, the type of SignPathCSP.
const providerType = 24

// feature is what the installer calls a provider; that for 32-bit programs ends in 32.
var feature = map[string]string{"SignPathKSP": "KSP", "SignPathCSP": "CSP"}

const installCure = "Install SignPath's crypto providers for Windows again, with the feature of that provider."

// checkProviders judges the registrations of both providers.
func checkProviders(f *Facts) (out []Finding) {
	if !f.Windows {
		return skipped("this is not Windows")
	}
	if f.ProvidersErr != nil {
		return one(Warning, "", "the registry cannot be read: %v", f.ProvidersErr)
	}
	whole := map[string]bool{}
	for _, r := range f.Providers {
		if r.Registered && r.Bits == 64 {
			whole[r.Provider] = true
		}
	}
	for _, r := range f.Providers {
		name := fmt.Sprintf("%s for %d-bit programs", r.Provider, r.Bits)
		switch {
		case !r.Registered && r.Bits == 32 && whole[r.Provider]:
			out = append(out, one(Note, "If 32-bit programs shall sign (Office macros, 32-bit signtool), add the feature: msiexec /i PACKAGE.msi /qn ADDLOCAL="+feature[r.Provider]+"32", "%s is not installed", name)...)
		case !r.Registered && r.Bits == 32:
			// said by the line of 64 bits
		case !r.Registered:
			out = append(out, one(Note, "If tools of Windows shall sign with it, add the feature: msiexec /i PACKAGE.msi /qn ADDLOCAL="+feature[r.Provider], "%s is not registered", r.Provider)...)
		case r.Problem != "":
			out = append(out, one(Failed, installCure, "%s: %s: %s", name, r.Image, r.Problem)...)
		case r.Has != r.Wants:
			out = append(out, one(Failed, installCure, "%s: %s is for %s, these programs need %s", name, r.Image, r.Has, r.Wants)...)
		case r.Type != 0 && r.Type != providerType:
			out = append(out, one(Failed, installCure, "%s is registered with type %d; it is of type %d", name, r.Type, providerType)...)
		case !r.Listed:
			out = append(out, one(Warning, installCure, "%s can be opened, but is not in Windows' list of key storage providers", name)...)
		default:
			out = append(out, one(OK, "", "%s: %s", name, r.Image)...)
		}
	}
	if out == nil {
		return skipped("nothing was looked at")
	}
	return out
}

const syncCure = "signpath certificates register --sync"

// checkStore judges the certificates in the Windows stores that lead to our providers.
func checkStore(f *Facts) (out []Finding) {
	switch {
	case !f.Windows:
		return skipped("this is not Windows")
	case f.StoreErr != nil:
		return one(Warning, "", "%v", f.StoreErr)
	case len(f.Store) == 0:
		return one(Note, "To let tools find certificates by thumbprint or name (signtool /sha1, PowerShell, nuget): signpath certificates register", "no certificate in CurrentUser\\My or LocalMachine\\My leads to the providers")
	}
	registered := map[string]bool{}
	for _, r := range f.Providers {
		registered[strings.TrimPrefix(r.Provider, "SignPath")] = registered[strings.TrimPrefix(r.Provider, "SignPath")] || r.Registered
	}
	good := 0
	for _, l := range f.Store {
		where := fmt.Sprintf("%s (%s\\My, %q)", l.Policy, l.Location, l.CommonName)
		if f.Providers != nil && !registered[l.Provider] {
			out = append(out, one(Failed, installCure, "%s leads to SignPath%s, which is not registered", where, l.Provider)...)
			continue
		}
		switch l.State {
		case winstore.Expired:
			out = append(out, one(Warning, "Let an administrator renew it, then: "+syncCure, "%s expired on %s", where, day(l.NotAfter))...)
		case winstore.NotYet:
			out = append(out, one(Warning, "Wait, or check this machine's clock.", "%s is not valid yet", where)...)
		case winstore.Outdated:
			out = append(out, one(Warning, syncCure, "%s: the signing policy has another certificate now", where)...)
		case winstore.Gone:
			out = append(out, one(Warning, syncCure, "%s: no such signing policy is in sight", where)...)
		case winstore.Foreign:
			out = append(out, one(Note, "Tools that find it cannot sign with the present settings.", "%s belongs to organization %s", where, l.Organization)...)
		default:
			good++
		}
	}
	if good > 0 {
		out = append(out, one(OK, "", "%s", count(good, "certificate"))...)
	}
	return out
}

// maxDLL bounds what is read of a DLL's headers, in bytes.
const maxDLL = 64 << 20

// dllMachines are PE's numbers of the machines that Windows runs on, by GOARCH.
var dllMachines = map[string]uint16{"amd64": pe.IMAGE_FILE_MACHINE_AMD64, "arm64": pe.IMAGE_FILE_MACHINE_ARM64, "386": pe.IMAGE_FILE_MACHINE_I386}

// dllMachine reads the headers of a DLL ("PE Format").
func dllMachine(path string) (machine, problem string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", plainPathError(err)
	case !info.Mode().IsRegular() || info.Size() > maxDLL:
		return "", "it is no DLL"
	}
	file, err := os.Open(path)
	if err != nil {
		return "", plainPathError(err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxDLL))
	if err != nil {
		return "", plainPathError(err)
	}
	return machineOf(data)
}

func machineOf(data []byte) (machine, problem string) {
	f, err := pe.NewFile(bytes.NewReader(data))
	switch {
	case err != nil:
		return "", "it is no DLL, or damaged"
	case f.Characteristics&pe.IMAGE_FILE_DLL == 0:
		return "", "it is no DLL"
	}
	for _, s := range f.Sections { // a copy that was cut keeps its headers
		if uint64(s.Offset)+uint64(s.Size) > uint64(len(data)) {
			return "", "its end is missing"
		}
	}
	for name, number := range dllMachines {
		if number == f.Machine {
			return name, ""
		}
	}
	return "", fmt.Sprintf("it is for an unknown machine (0x%04x)", f.Machine)
}
