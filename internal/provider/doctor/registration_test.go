package doctor

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/internal/provider/settings"
	"signpath/internal/provider/winstore"
)

func good(provider string, bits int) Registration {
	machine := map[int]string{64: "amd64", 32: "386"}[bits]
	r := Registration{Provider: provider, Bits: bits, Registered: true, Listed: true, Image: `C:\x.dll`, Wants: machine, Has: machine}
	if provider == "SignPathCSP" {
		r.Type = providerType
	}
	return r
}

func listedAs(state winstore.State, provider string) winstore.Listed {
	return winstore.Listed{Location: winstore.CurrentUser, CommonName: "rsa", Policy: "app/rsa", Provider: provider, State: state, NotAfter: time.Unix(0, 0), Organization: "other"}
}

func TestWindowsChecks(t *testing.T) {
	all := []Registration{good("SignPathKSP", 64), good("SignPathKSP", 32), good("SignPathCSP", 64), good("SignPathCSP", 32)}
	with := func(i int, change func(*Registration)) []Registration {
		rs := append([]Registration{}, all...)
		change(&rs[i])
		return rs
	}
	for _, tt := range []struct {
		name  string
		facts Facts
		check func(*Facts) []Finding
		want  []string // "status: part of text or cure"
	}{
		{"elsewhere", Facts{Providers: all}, checkProviders, []string{"skipped: not Windows"}},
		{"all there", Facts{Windows: true, Providers: all}, checkProviders, []string{"ok: SignPathKSP for 64-bit", "ok: SignPathKSP for 32-bit", "ok: SignPathCSP for 64-bit", "ok: SignPathCSP for 32-bit"}},
		{"nothing there", Facts{Windows: true, Providers: []Registration{{Provider: "SignPathKSP", Bits: 64}, {Provider: "SignPathKSP", Bits: 32}}}, checkProviders, []string{"note: ADDLOCAL=KSP"}},
		{"64 bits only", Facts{Windows: true, Providers: with(1, func(r *Registration) { *r = Registration{Provider: "SignPathKSP", Bits: 32} })[:2]}, checkProviders, []string{"ok: SignPathKSP for 64-bit", "note: ADDLOCAL=KSP32"}},
		{"DLL gone", Facts{Windows: true, Providers: with(0, func(r *Registration) { r.Problem = "no such file" })[:1]}, checkProviders, []string{`failed: SignPathKSP for 64-bit programs: C:\x.dll: no such file`}},
		{"DLL of the other width", Facts{Windows: true, Providers: with(3, func(r *Registration) { r.Has = "amd64" })[3:]}, checkProviders, []string{"failed: is for amd64, these programs need 386"}},
		{"not listed", Facts{Windows: true, Providers: with(0, func(r *Registration) { r.Listed = false })[:1]}, checkProviders, []string{"warning: not in Windows' list"}},
		{"wrong type", Facts{Windows: true, Providers: with(2, func(r *Registration) { r.Type = 1 })[2:3]}, checkProviders, []string{"failed: registered with type 1"}},
		{"registry closed", Facts{Windows: true, ProvidersErr: errors.New("denied")}, checkProviders, []string{"warning: denied"}},

		{"store elsewhere", Facts{}, checkStore, []string{"skipped: not Windows"}},
		{"store empty", Facts{Windows: true, Providers: all}, checkStore, []string{"note: signpath certificates register"}},
		{"store closed", Facts{Windows: true, StoreErr: errors.New("denied")}, checkStore, []string{"warning: denied"}},
		{"store", Facts{Windows: true, Providers: all, Store: []winstore.Listed{listedAs(winstore.Good, "KSP"), listedAs(winstore.ByHand, "CSP")}}, checkStore, []string{"ok: 2 certificates"}},
		{"store, all states", Facts{Windows: true, Providers: all, Store: []winstore.Listed{listedAs(winstore.Expired, "KSP"), listedAs(winstore.NotYet, "KSP"), listedAs(winstore.Outdated, "KSP"), listedAs(winstore.Gone, "KSP"), listedAs(winstore.Foreign, "KSP")}}, checkStore,
			[]string{"warning: expired on 1970-01-01", "warning: not valid yet", "warning: register --sync", "warning: no such signing policy", "note: organization other"}},
		{"store, provider not there", Facts{Windows: true, Providers: []Registration{good("SignPathKSP", 64), {Provider: "SignPathCSP", Bits: 64}}, Store: []winstore.Listed{listedAs(winstore.Good, "CSP"), listedAs(winstore.Good, "KSP")}}, checkStore,
			[]string{"failed: leads to SignPathCSP, which is not registered", "ok: 1 certificate"}},

		{"file of the user's own", Facts{Windows: true, ConfigFile: &File{Path: `C:\c.json`}}, checkConfigFile, []string{`ok: C:\c.json`}},
		{"file changed by others", Facts{Windows: true, ConfigFile: &File{Path: `C:\c.json`, Writers: []string{"Users"}, Owner: "eve"}}, checkConfigFile, []string{"warning: lead the token elsewhere: Users", "warning: belongs to eve"}},
	} {
		found := tt.check(&tt.facts)
		if len(found) != len(tt.want) {
			t.Errorf("%s: %+v", tt.name, found)
			continue
		}
		for i, f := range found {
			status, text, _ := strings.Cut(tt.want[i], ": ")
			if string(f.Status) != status || !strings.Contains(f.Text+" "+f.Cure, text) {
				t.Errorf("%s: %+v, want %s", tt.name, f, tt.want[i])
			}
		}
	}
}

// A plain token in a file that others may read is a warning; an encrypted one is not.
func TestPlainTokenInAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(file, []byte(`{"ApiToken":"`+token+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := settings.Load([]string{"SIGNPATH_CONFIG_FILE=" + file}, settings.Explicit{})
	if err != nil {
		t.Fatal(err)
	}
	f := &Facts{Windows: true, Settings: s, ConfigFile: &File{Path: file, Readers: []string{"Everyone"}}}
	if found := checkConfigFile(f); len(found) != 1 || found[0].Status != Warning || !strings.Contains(found[0].Text, "Everyone") || !strings.Contains(found[0].Cure, "signpath token protect") {
		t.Errorf("%+v", found)
	}
	f.Settings = settings.Settings{} // its token is not plain
	if found := checkConfigFile(f); len(found) != 1 || found[0].Status != OK {
		t.Errorf("%+v", found)
	}
}

// registeredDLL makes the headers of a DLL.
func registeredDLL(machine, characteristics uint16) []byte {
	var b bytes.Buffer
	dos := make([]byte, 64)
	copy(dos, "MZ")
	binary.LittleEndian.PutUint32(dos[60:], 64)
	b.Write(dos)
	b.WriteString("PE\x00\x00")
	_ = binary.Write(&b, binary.LittleEndian, pe.FileHeader{Machine: machine, NumberOfSections: 1, Characteristics: characteristics})
	_ = binary.Write(&b, binary.LittleEndian, pe.SectionHeader32{SizeOfRawData: 16, PointerToRawData: 200})
	return append(b.Bytes(), make([]byte, 216-b.Len())...)
}

func TestMachineOf(t *testing.T) {
	const dll = pe.IMAGE_FILE_DLL
	for _, tt := range []struct {
		name             string
		data             []byte
		machine, problem string
	}{
		{"amd64", registeredDLL(pe.IMAGE_FILE_MACHINE_AMD64, dll), "amd64", ""},
		{"386", registeredDLL(pe.IMAGE_FILE_MACHINE_I386, dll), "386", ""},
		{"arm64", registeredDLL(pe.IMAGE_FILE_MACHINE_ARM64, dll), "arm64", ""},
		{"program", registeredDLL(pe.IMAGE_FILE_MACHINE_AMD64, 0), "", "no DLL"},
		{"cut", registeredDLL(pe.IMAGE_FILE_MACHINE_AMD64, dll)[:210], "", "end is missing"},
		{"empty", nil, "", "no DLL"},
		{"ELF", []byte("\x7fELF\x02\x01\x01"), "", "no DLL"},
	} {
		if machine, problem := machineOf(tt.data); machine != tt.machine || !strings.Contains(problem, tt.problem) || (tt.problem == "") != (problem == "") {
			t.Errorf("%s: %q, %q", tt.name, machine, problem)
		}
	}
	if _, problem := dllMachine("."); problem != "it is no DLL" {
		t.Errorf("a folder: %q", problem)
	}
}

func FuzzMachineOf(f *testing.F) {
	f.Add(registeredDLL(pe.IMAGE_FILE_MACHINE_AMD64, pe.IMAGE_FILE_DLL))
	f.Fuzz(func(t *testing.T, data []byte) {
		if machine, problem := machineOf(data); (machine == "") == (problem == "") {
			t.Errorf("%q and %q", machine, problem)
		}
	})
}
