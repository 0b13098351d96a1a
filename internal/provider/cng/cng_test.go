package cng

import (
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"signpath/internal/provider/winkeys"
)

// The table in C and the table in Go are the same: names, order, numbers of arguments.
func TestTablesAgree(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile("../../../cmd/ksp/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	declared := regexp.MustCompile(`STATUS\(WINAPI \*(\w+)\)\((.*)\);`).FindAllStringSubmatch(read("table_windows.h"), -1)
	if len(declared) != len(slots)-1 {
		t.Fatalf("%d functions in C, %d in Go", len(declared), len(slots)-1)
	}
	shim := read("shim_windows.c")
	_, listed, _ := strings.Cut(shim, "static sp_ksp_table table = {")
	listed, _, _ = strings.Cut(listed, "};")
	order := regexp.MustCompile(`[A-Z]\w+`).FindAllString(listed, -1)
	calls := regexp.MustCompile(`(?m)^F (\w+)\(.*\) CALL\((\d+), (.*)\)$`).FindAllStringSubmatch(shim, -1)
	for i, d := range declared {
		args := len(strings.Split(d[2], ","))
		if d[1] != slots[i].name || args != slots[i].args || order[i] != d[1] {
			t.Errorf("slot %d: %s with %d arguments in the header, %s in the table, %s with %d in Go", i, d[1], args, order[i], slots[i].name, slots[i].args)
		}
		c := calls[i]
		// The letters of the parameters and of the call are the same, in the same order.
		if c[1] != d[1] || c[2] != strings.TrimSpace(c[2]) || len(strings.Split(c[3], ",")) != args || number(c[1]) != i {
			t.Errorf("slot %d: the shim has %q", i, c[0])
		}
	}
}

// functions is a valid call of each function, for tests that break one argument. The
// kinds: p provider, k key, o pointer that is written, i pointer that is read, I one that
// may be NULL, n number, f flags, 0 an argument that is not looked at.
func functions(h *host) map[string]struct {
	kinds string
	args  []uintptr
} {
	p := h.open()
	k := h.key(p, "app/p256")
	out := func() uintptr { return h.room(256) }
	type m = struct {
		kinds string
		args  []uintptr
	}
	return map[string]m{
		"OpenProvider":        {"o0f", []uintptr{out(), h.text("x"), 0}},
		"OpenKey":             {"poinf", []uintptr{p, out(), h.text("app/p256"), 0, 0}},
		"GetProviderProperty": {"piOnof", []uintptr{p, h.text("Name"), out(), 256, out(), 0}},
		"GetKeyProperty":      {"0kiOnof", []uintptr{p, k, h.text("Name"), out(), 256, out(), 0}},
		"SetProviderProperty": {"piinf", []uintptr{p, h.text("Use Context"), h.text("x"), 4, 0}},
		"SetKeyProperty":      {"0kiinf", []uintptr{p, k, h.text("Use Context"), h.text("x"), 4, 0}},
		"IsAlgSupported":      {"pif", []uintptr{p, h.text("RSA"), 0}},
		"EnumAlgorithms":      {"pnoof", []uintptr{p, 0, out(), out(), 0}},
		"EnumKeys":            {"p0oof", []uintptr{p, 0, out(), out(), 0}},
		"ExportKey":           {"0k0i0Onof", []uintptr{p, k, 0, h.text("ECCPUBLICBLOB"), 0, out(), 256, out(), 0}},
		"SignHash":            {"0k0inOnof", []uintptr{p, k, 0, h.room(32), 32, out(), 256, out(), 0}},
		"FreeProvider":        {"p", []uintptr{p}},
		"FreeKey":             {"0k", []uintptr{p, k}},
		"FinalizeKey":         {"0k0", []uintptr{p, k, 0}},
		"DeleteKey":           {"0k0", []uintptr{p, k, 0}},
		"CreatePersistedKey":  {"p00000", []uintptr{p, out(), h.text("RSA"), h.text("x"), 0, 0}},
		"Encrypt":             {"0k0000000", []uintptr{p, k, 0, 0, 0, 0, 0, 0, 0}},
		"Decrypt":             {"0k0000000", []uintptr{p, k, 0, 0, 0, 0, 0, 0, 0}},
		"ImportKey":           {"p0000000", []uintptr{p, 0, 0, 0, 0, 0, 0, 0}},
		"PromptUser":          {"0k00", []uintptr{p, k, 0, 0}},
		"NotifyChangeKey":     {"p00", []uintptr{p, 0, 0}},
		"SecretAgreement":     {"0k000", []uintptr{p, k, 0, 0, 0}},
		"DeriveKey":           {"p0000000", []uintptr{p, 0, 0, 0, 0, 0, 0, 0}},
		"FreeSecret":          {"p0", []uintptr{p, 0}},
		// Flags are looked at before the padding, the signature last.
		"VerifySignature": {"0k0ininf", []uintptr{p, k, 0, h.room(32), 32, h.room(64), 64, 0}},
	}
}

// Every function × every argument: NULL, a pointer that leads nowhere, handles that
// are none, flags that nobody knows. Nothing of it reaches the network but a key's name.
func TestBadArguments(t *testing.T) {
	h := newHost(t, 8)
	all := functions(h)
	for _, s := range slots[:len(slots)-1] {
		if _, ok := all[s.name]; !ok && s.name != "FreeBuffer" {
			t.Errorf("%s is not tested", s.name)
		}
	}
	freed := h.open()
	h.ok("FreeProvider", freed)
	freedKey := h.key(h.open(), "app/p384")
	h.ok("FreeKey", 0, freedKey)
	h.service.Counts()
	for name, f := range all {
		try := func(what string, i int, value uintptr, want Status) {
			args := append([]uintptr{}, f.args...)
			args[i] = value
			if got := h.do(name, args...); got != want {
				t.Errorf("%s with %s as argument %d: %v, want %v", name, what, i, got, want)
			}
		}
		for i, kind := range f.kinds {
			switch kind {
			case 'p':
				for what, v := range map[string]uintptr{"0": 0, "a freed provider": freed, "a key": f.args[0] + 1, "a foreign handle": 0x12345678, "a pointer": nowhere} {
					if what == "a key" {
						v = h.key(f.args[0], "app/p256")
					}
					try(what, i, v, winkeys.NTE_INVALID_HANDLE)
				}
			case 'k':
				for what, v := range map[string]uintptr{"0": 0, "a freed key": freedKey, "a provider": f.args[0], "a foreign handle": 0x12345678, "a pointer": nowhere} {
					try(what, i, v, winkeys.NTE_INVALID_HANDLE)
				}
			case 'i', 'o':
				try("NULL", i, 0, winkeys.NTE_INVALID_PARAMETER)
				try("a pointer to nowhere", i, nowhere, winkeys.NTE_INVALID_PARAMETER)
			case 'O':
				if name != "SignHash" { // TestSignHash has it: it costs a signature
					try("a pointer to nowhere", i, nowhere, winkeys.NTE_INVALID_PARAMETER)
				}
			case 'f':
				try("an unknown flag", i, 0x08000000, winkeys.NTE_BAD_FLAGS)
			}
		}
	}
	h.counts("bad arguments", 0, 0)
}

// .NET, mage and signtool pass flags that the books name elsewhere.
func TestHarmlessFlags(t *testing.T) {
	h := newHost(t, 4)
	for name, f := range functions(h) {
		for i, kind := range f.kinds {
			if kind != 'f' {
				continue
			}
			for _, flag := range []uintptr{0x20, 0x40, 0x60, 0x40000000, 0x40000040, 0x80000000} {
				args := append([]uintptr{}, f.args...)
				args[i] = flag
				if name == "EnumKeys" || name == "EnumAlgorithms" {
					args[3] = h.room(8)
				}
				want := winkeys.OK
				switch {
				case name == "VerifySignature":
					want = winkeys.NTE_BAD_SIGNATURE
				case name == "SetKeyProperty" && flag&0x80000000 != 0:
					want = winkeys.NTE_NOT_SUPPORTED
				}
				if st := h.do(name, args...); st != want {
					t.Errorf("%s with flag %#x: %v, want %v", name, flag, st, want)
				}
			}
		}
	}
}

func TestNotSupported(t *testing.T) {
	h := newHost(t, 8)
	all := functions(h)
	for _, name := range []string{"CreatePersistedKey", "FinalizeKey", "DeleteKey", "Encrypt", "Decrypt", "ImportKey", "PromptUser", "NotifyChangeKey", "SecretAgreement", "DeriveKey", "FreeSecret"} {
		h.is(winkeys.NTE_NOT_SUPPORTED, name, all[name].args...)
	}
	for _, c := range []struct{ slot, args int }{{-1, 3}, {len(slots), 4}, {0, 2}, {19, 0}} {
		if st := h.Call(c.slot, make([]uintptr, c.args)); st != winkeys.NTE_NOT_SUPPORTED {
			t.Errorf("slot %d: %v", c.slot, st)
		}
	}
}

func TestInterface(t *testing.T) {
	for _, size := range []int{4, 8} {
		h := newHost(t, size)
		at := h.room(8)
		h.ok("GetKeyStorageInterface", 0, at, 0, 0x1234)
		if got := h.pointerAt(at); got != 0x1234 {
			t.Errorf("the table is at %x", got)
		}
		h.is(winkeys.NTE_INVALID_PARAMETER, "GetKeyStorageInterface", 0, 0, 0, 0x1234)
	}
}

// signtool frees the provider first; everything about the key goes on working.
func TestKeyOutlivesProvider(t *testing.T) {
	h := newHost(t, 8)
	p := h.open()
	k := h.key(p, "app/rsa2048")
	h.ok("FreeProvider", p)
	h.is(winkeys.NTE_INVALID_HANDLE, "FreeProvider", p)
	h.is(winkeys.NTE_INVALID_HANDLE, "OpenKey", p, h.room(8), h.text("app/p256"), 0, 0)
	for _, provider := range []uintptr{p, 0, 99} {
		h.property(provider, k, "Length", 0)
		h.ok("SignHash", provider, k, h.pkcs1("SHA256"), h.room(32), 32, h.room(256), 256, h.room(4), 2)
	}
	h.ok("FreeKey", p, k)
	h.is(winkeys.NTE_INVALID_HANDLE, "FreeKey", p, k)
	if n := len(h.objects); n != 0 {
		t.Errorf("%d handles are left", n)
	}
}

// Every key spec and kind of opening is the same key; a failed one leaves no handle.
func TestOpenKey(t *testing.T) {
	h := newHost(t, 8)
	h.service.Add(t, "app/ed25519", "ed25519")
	p := h.open()
	h.counts("OpenProvider", 0, 0)
	at := h.room(8)
	for _, spec := range []uintptr{0, 1, 2, 0xFFFFFFFF} {
		for _, flags := range []uintptr{0, 0x20, 0x40, 0x10000} {
			h.ok("OpenKey", p, at, h.text("app/rsa2048"), spec, flags)
			h.ok("FreeKey", p, h.pointerAt(at))
		}
	}
	h.counts("one key in many ways", 1, 0)
	for name, want := range map[string]Status{
		"app/foreign": winkeys.NTE_BAD_KEYSET, "": winkeys.NTE_BAD_KEYSET, "rsa2048": winkeys.NTE_BAD_KEYSET, "app/RSA2048": winkeys.NTE_BAD_KEYSET,
		"app/ed25519": winkeys.NTE_NOT_SUPPORTED, strings.Repeat("x", 5000): winkeys.NTE_INVALID_PARAMETER, "app/\U0001F511": winkeys.NTE_BAD_KEYSET,
	} {
		h.Write(at, h.pointerBytes(77))
		h.is(want, "OpenKey", p, at, h.text(name), 2, 0)
		if want != winkeys.NTE_INVALID_PARAMETER && h.pointerAt(at) != 0 {
			t.Errorf("%q: a handle is left where none was opened", name)
		}
	}
	if n := len(h.objects); n != 1 {
		t.Errorf("%d handles are left", n)
	}
	if log := h.service.Log(t, "KSP"); !strings.Contains(log, "Submitter") || !strings.Contains(log, "Ed25519") {
		t.Errorf("the log does not tell:\n%s", log)
	}
}

// What the service answers, as the host sees it.
func TestServiceFails(t *testing.T) {
	h := newHost(t, 8)
	k := h.key(h.open(), "app/rsa2048")
	for status, want := range map[int]Status{400: 0x80040190, 403: 0x80040193, 500: 0x800401F4, 503: 0x800401F7} {
		h.service.Refuse(status)
		h.is(want, "SignHash", 0, k, h.pkcs1("SHA256"), h.put([]byte{byte(status)}), 32, h.room(256), 256, h.room(4), 2)
		h.is(want, "EnumKeys", h.open(), 0, h.room(8), h.room(8), 0)
		h.load(h.service.Environ()) // nothing is remembered
		h.service.Refuse(0)
		k = h.key(h.open(), "app/rsa2048")
	}
	h.load(h.service.Environ("SIGNPATH_API_TOKEN=another-token-another-token-another-token-an"))
	h.is(0x80040191, "OpenKey", h.open(), h.room(8), h.text("app/p256"), 0, 0)
	h.load([]string{"SIGNPATH_LOG_FILE_DIRECTORY=" + h.service.Logs})
	h.is(winkeys.NTE_FAIL, "OpenKey", h.open(), h.room(8), h.text("app/p256"), 0, 0)
	h.load(h.service.Environ("SIGNPATH_API_URL=http://127.0.0.1:1/Api"))
	h.is(winkeys.NTE_DEVICE_NOT_READY, "OpenKey", h.open(), h.room(8), h.text("app/p256"), 0, 0)
}

// A fault of this package is a status and a line in the log.
func TestPanic(t *testing.T) {
	h := newHost(t, 8)
	p := h.open()
	name, at := h.text("app/p256"), h.room(8)
	h.panic = true
	h.is(winkeys.NTE_FAIL, "OpenKey", p, at, name, 0, 0)
	h.panic = false
	h.ok("OpenKey", p, at, name, 0, 0)
	if !strings.Contains(h.service.Log(t, "KSP"), "please report it") {
		t.Error("the log does not tell")
	}
}

// Sixteen threads with keys of their own.
func TestThreads(t *testing.T) {
	h := newHost(t, 8)
	names := []string{"rsa2048", "p256", "p384", "p521"}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			p := h.open()
			for range 4 {
				k := h.key(p, "app/"+names[i%len(names)])
				h.property(p, k, "Length", 0)
				h.ok("FreeKey", p, k)
			}
			h.ok("FreeProvider", p)
		})
	}
	all.Wait()
	h.counts("sixteen threads, four keys", 4, 0)
	if n := len(h.objects); n != 0 {
		t.Errorf("%d handles are left", n)
	}
}

func TestRegistration(t *testing.T) {
	r := Registration("SignPath.Ksp.dll")
	if r.Provider != "SignPathKSP" || r.Image != "SignPath.Ksp.dll" || r.Interface != 0x10001 || r.Position != 0xFFFFFFFF {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct{ status, register, remove uint32 }{{0, 0, 0}, {0xC0000022, 0xD0000022, 0xD0000022}, {0xC0000225, 0xD0000225, 0}} {
		if RegistrationFailed(c.status) != c.register || RemovalFailed(c.status) != c.remove {
			t.Errorf("%08x: %08x, %08x", c.status, RegistrationFailed(c.status), RemovalFailed(c.status))
		}
	}
}
