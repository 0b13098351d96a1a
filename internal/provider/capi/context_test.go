package capi

import (
	"fmt"
	"strings"
	"testing"

	"signpath/internal/provider/winkeys"
)

func TestAcquire(t *testing.T) {
	name := func(s string) *string { return &s }
	for _, tc := range []struct {
		what      string
		container *string
		flags     uint32
		want      Status
		lists     int // requests
		key       string
	}{
		{"a container", name("app/rsa"), 0, ok, 1, "app/rsa"},
		{"the flags that mean nothing", name("app/long"), CRYPT_MACHINE_KEYSET | CRYPT_SILENT, ok, 1, "app/long"},
		{"none, to verify", nil, CRYPT_VERIFYCONTEXT, ok, 0, ""},
		{"an empty name, to verify", name(""), CRYPT_VERIFYCONTEXT | CRYPT_SILENT, ok, 0, ""},
		{"what is public of a container", name("app/rsa"), CRYPT_VERIFYCONTEXT, ok, 1, "app/rsa"},
		{"none, if there is none", nil, CRYPT_DEFAULT_CONTAINER_OPTIONAL, ok, 0, ""},
		{"none of two", nil, 0, winkeys.NTE_BAD_KEYSET, 1, ""},
		{"unknown", name("app/nobody"), 0, winkeys.NTE_BAD_KEYSET, 1, ""},
		{"another case", name("App/RSA"), 0, winkeys.NTE_BAD_KEYSET, 1, ""},
		{"no slash", name("rsa"), 0, winkeys.NTE_BAD_KEYSET, 0, ""},
		{"an EC key", name("app/ec"), 0, winkeys.NTE_BAD_KEYSET, 1, ""},
		{"a new one of an old name", name("app/rsa"), CRYPT_NEWKEYSET, winkeys.NTE_EXISTS, 1, ""},
		{"a new one", name("app/new"), CRYPT_NEWKEYSET | CRYPT_SILENT, winkeys.NTE_PERM, 1, ""},
		{"a new one without a name", nil, CRYPT_NEWKEYSET, winkeys.NTE_PERM, 0, ""},
		{"away with one", name("app/rsa"), CRYPT_DELETEKEYSET, winkeys.NTE_PERM, 1, ""},
		{"away with none", name("app/nobody"), CRYPT_DELETEKEYSET, winkeys.NTE_BAD_KEYSET, 1, ""},
		{"new and away", name("app/rsa"), CRYPT_NEWKEYSET | CRYPT_DELETEKEYSET, winkeys.NTE_BAD_FLAGS, 0, ""},
		{"new and to verify", name("app/rsa"), CRYPT_NEWKEYSET | CRYPT_VERIFYCONTEXT, winkeys.NTE_BAD_FLAGS, 0, ""},
		{"an unknown flag", name("app/rsa"), 0x100, winkeys.NTE_BAD_FLAGS, 0, ""},
		{"half of a flag", name("app/rsa"), 0x80000000, winkeys.NTE_BAD_FLAGS, 0, ""},
	} {
		t.Run(tc.what, func(t *testing.T) {
			h := newHost(t)
			for range 2 { // as tools do
				c, st := h.AcquireContext(tc.container, tc.flags, Registered{})
				h.want("AcquireContext", st, tc.want)
				if (c != 0) != (st == ok) {
					t.Errorf("handle %d with %v", c, st)
				}
				if st != ok {
					continue
				}
				if got := string(h.get("PP_CONTAINER", h.provParam(c, PP_CONTAINER))); got != tc.key+"\x00" {
					t.Errorf("container %q", got)
				}
				machine := h.number("PP_KEYSET_TYPE", h.provParam(c, PP_KEYSET_TYPE))
				if machine != tc.flags&CRYPT_MACHINE_KEYSET {
					t.Errorf("PP_KEYSET_TYPE %d", machine)
				}
				h.want("ReleaseContext", h.ReleaseContext(c, 0), ok)
				h.want("ReleaseContext again", h.ReleaseContext(c, 0), winkeys.NTE_BAD_UID)
			}
			h.counts("both", tc.lists, 0)
			if n := h.objects.count(); n != 0 {
				t.Errorf("%d objects are left", n)
			}
		})
	}
}

func TestOnlyKey(t *testing.T) {
	h := newHost(t, "SIGNPATH_SIGNING_POLICY_SLUG=rsa")
	c := h.open("", 0)
	if got := string(h.get("PP_CONTAINER", h.provParam(c, PP_CONTAINER))); got != "app/rsa\x00" {
		t.Errorf("container %q", got)
	}
}

// What a program cannot know, the log tells: what is wrong and what to do.
func TestLogHelps(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"app/ec", "app/nobody"} {
		_, st := h.AcquireContext(&name, 0, Registered{})
		h.want(name, st, winkeys.NTE_BAD_KEYSET)
	}
	_, st := h.AcquireContext(nil, 0, Registered{})
	h.want("no name", st, winkeys.NTE_BAD_KEYSET)
	name := "app/new"
	_, st = h.AcquireContext(&name, CRYPT_NEWKEYSET, Registered{})
	h.want("new", st, winkeys.NTE_PERM)
	c := h.open("app/rsa", 0)
	d := h.hash(c, CALG_SHA1, "x")
	h.want("NOHASHOID", h.SignHash(c, d, AT_SIGNATURE, false, CRYPT_NOHASHOID, &Output{LengthOnly: true}), winkeys.NTE_NOT_SUPPORTED)
	h.want("CPGenKey", h.Refuse(CPGenKey, c), winkeys.E_NOTIMPL)
	log := h.service.Log(t, "CSP")
	for _, want := range []string{"use the key storage provider SignPathKSP", "Submitter", "name the container PROJECT/POLICY", "they are created and deleted at the service", "do not set CRYPT_NOHASHOID", "keys are created at the service"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
	for f := range reasons {
		if !strings.HasPrefix(string(f), "CP") || reasons[f] == "" {
			t.Errorf("%s has no reason", f)
		}
		h.want(string(f), h.Refuse(f, 0), winkeys.NTE_BAD_UID)
	}
}

func TestRelease(t *testing.T) {
	h := newHost(t)
	c := h.open("app/rsa", 0)
	d := h.hash(c, CALG_SHA_256, "abc")
	k, st := h.GetUserKey(c, AT_SIGNATURE)
	h.want("GetUserKey", st, ok)
	h.want("with flags", h.ReleaseContext(c, 1), winkeys.NTE_BAD_FLAGS)
	h.want("it is released all the same", h.ReleaseContext(c, 0), winkeys.NTE_BAD_UID)
	h.want("its hash", h.HashData(c, d, nil, 0), winkeys.NTE_BAD_UID)
	h.want("its key", h.DestroyKey(c, k), winkeys.NTE_BAD_UID)
	other := h.open("", CRYPT_VERIFYCONTEXT)
	h.want("its hash in another", h.HashData(other, d, nil, 0), winkeys.NTE_BAD_HASH)
	h.want("its key in another", h.VerifySignature(other, h.hash(other, CALG_SHA1, ""), nil, k, false, 0), winkeys.NTE_BAD_KEY)
	h.want("ReleaseContext", h.ReleaseContext(other, 0), ok)
	if n := h.objects.count(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// A context that is released while another thread makes a hash of it leaves nothing.
func TestReleaseRace(t *testing.T) {
	h := newHost(t)
	for range 200 {
		c := h.open("", CRYPT_VERIFYCONTEXT)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, st := h.CreateHash(c, CALG_SHA1, 0, 0); st != ok {
					h.want("CreateHash", st, winkeys.NTE_BAD_UID)
					return
				}
			}
		}()
		h.want("ReleaseContext", h.ReleaseContext(c, 0), ok)
		<-done
	}
	if n := h.objects.count(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

func TestHandlesAreNotReused(t *testing.T) {
	h := newHost(t)
	h.objects.last = 0xFFFFFFF0 // near the end
	seen := map[Handle]bool{}
	for range 10 {
		c := h.open("", CRYPT_VERIFYCONTEXT)
		if c == 0 || seen[c] || uint64(c) > 0xFFFFFFFF {
			t.Fatalf("handle %x", c)
		}
		seen[c] = true
	}
}

func TestRegistered(t *testing.T) {
	h := newHost(t)
	c, st := h.AcquireContext(nil, CRYPT_VERIFYCONTEXT, Registered{Name: "Another", Type: 1})
	h.want("AcquireContext", st, ok)
	if got := string(h.get("PP_NAME", h.provParam(c, PP_NAME))); got != "Another\x00" {
		t.Errorf("PP_NAME %q", got)
	}
	if n := h.number("PP_PROVTYPE", h.provParam(c, PP_PROVTYPE)); n != 1 {
		t.Errorf("PP_PROVTYPE %d", n)
	}
}

func TestFailuresOfTheService(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 429, 500, 502, 503, 504} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			h := newHost(t)
			want := Status(0x80040000) + Status(status)
			h.service.Refuse(status)
			name := "app/rsa"
			_, st := h.AcquireContext(&name, 0, Registered{})
			h.want("AcquireContext", st, want)
			first, _ := h.service.Counts()
			_, st = h.AcquireContext(&name, 0, Registered{})
			h.want("AcquireContext again", st, want)
			h.counts("again", 0, 0)
			if first == 0 {
				t.Error("the service was not asked")
			}
			c := h.open("", CRYPT_VERIFYCONTEXT)
			h.want("PP_ENUMCONTAINERS", h.GetProvParam(c, PP_ENUMCONTAINERS, &Output{Room: 300}, CRYPT_FIRST), want)
		})
		t.Run(fmt.Sprint("signature ", status), func(t *testing.T) {
			h := newHost(t)
			c := h.open("app/rsa", 0)
			d := h.hash(c, CALG_SHA_256, "abc")
			h.service.Counts()
			h.service.Refuse(status)
			out := &Output{Room: 1000}
			h.want("SignHash", h.SignHash(c, d, AT_SIGNATURE, false, 0, out), Status(0x80040000)+Status(status))
			if out.Length != 0 || out.Data != nil {
				t.Error("an answer with a failure")
			}
			_, asked := h.service.Counts()
			h.want("SignHash again", h.SignHash(c, d, AT_SIGNATURE, false, 0, out), Status(0x80040000)+Status(status))
			h.counts("again", 0, 0)
			if asked == 0 {
				t.Error("the service was not asked")
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		h := newHost(t, "SIGNPATH_API_URL=http://127.0.0.1:1/Api")
		name := "app/rsa"
		_, st := h.AcquireContext(&name, 0, Registered{})
		h.want("AcquireContext", st, winkeys.NTE_DEVICE_NOT_READY)
	})
	t.Run("no token", func(t *testing.T) {
		h := newHost(t)
		h.environ = []string{"SIGNPATH_API_URL=" + h.service.URL, "SIGNPATH_LOG_FILE_DIRECTORY=" + h.service.Logs}
		name := "app/rsa"
		_, st := h.AcquireContext(&name, 0, Registered{})
		h.want("AcquireContext", st, winkeys.NTE_FAIL)
		// what needs no key works
		if _, st := h.AcquireContext(nil, CRYPT_VERIFYCONTEXT, Registered{}); st != ok {
			t.Error(st)
		}
	})
	t.Run("a wrong signature", func(t *testing.T) {
		h := newHost(t)
		c := h.open("app/rsa", 0)
		h.service.Spoil(func(b []byte) []byte { b[5] ^= 1; return b })
		h.want("SignHash", h.SignHash(c, h.hash(c, CALG_SHA_256, ""), AT_SIGNATURE, false, 0, &Output{Room: 1000}), winkeys.Status(0x800401F4))
	})
}
