package pki

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"signpath/internal/service/keys"
	"signpath/internal/service/keys/keystest"
)

var (
	demoID  = UserID{Name: "Demo Müller", Comment: "release", Email: "demo@example.com"}
	created = time.Date(2024, 2, 29, 12, 30, 15, 999, time.UTC)
)

// gnupg is a GnuPG home of its own.
type gnupg struct {
	t    *testing.T
	home string
}

func newGnuPG(t *testing.T) gnupg {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg") // short: the agent's socket path is limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	return gnupg{t, home}
}

func (g gnupg) run(stdin []byte, args ...string) (string, error) {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), "gpg", append([]string{"--batch", "--no-tty", "--no-autostart", "--homedir", g.home}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// colons finds the first record of a kind in gpg's machine-readable listing.
func colons(listing, kind string) []string {
	for line := range strings.Lines(listing) {
		if f := strings.Split(strings.TrimSpace(line), ":"); f[0] == kind {
			return f
		}
	}
	return make([]string, 20)
}

// What stock gpg says of our keys: field numbers as in GnuPG's doc/DETAILS
// (6 creation, 7 expiry, 12 capabilities, 10 user ID or fingerprint).
func TestOpenPGPWithGnuPG(t *testing.T) {
	for _, c := range []struct {
		key     string
		expires time.Time
	}{
		{"rsa2048", time.Time{}},
		{"rsa3072", created.Truncate(time.Second).Add(time.Second * 1e9)},
		{"rsa4096", time.Now().Add(1000 * time.Hour)},
		{"rsa2048", time.Date(2099, 12, 31, 23, 59, 59, 0, time.FixedZone("", -7200))},
		{"rsa2048", maxOpenPGPTime},
	} {
		binary, fingerprint, err := NewOpenPGP(t.Context(), keystest.Signer(t, c.key), demoID, created, c.expires)
		if err != nil {
			t.Fatal(err)
		}
		armored, err := Armor(binary)
		if err != nil {
			t.Fatal(err)
		}
		for form, data := range map[string][]byte{"binary": binary, "armour": armored} {
			g := newGnuPG(t)
			if out, err := g.run(data, "--show-keys", "--with-colons"); err != nil {
				t.Errorf("%s: --show-keys: %v %s", form, err, out)
			}
			if out, err := g.run(data, "--import"); err != nil || !strings.Contains(out, "imported: 1") {
				t.Fatalf("%s: --import: %v %s", form, err, out)
			}
			out, err := g.run(nil, "--with-colons", "--fixed-list-mode", "--check-sigs")
			if err != nil {
				t.Fatal(err, out)
			}
			pub, fpr, uid, sig := colons(out, "pub"), colons(out, "fpr"), colons(out, "uid"), colons(out, "sig")
			wantExpiry := ""
			if !c.expires.IsZero() {
				wantExpiry = strconv.FormatInt(c.expires.Unix(), 10)
			}
			if pub[5] != strconv.FormatInt(created.Unix(), 10) || pub[6] != wantExpiry {
				t.Errorf("%s %s: created %s expires %q, want %d and %q", c.key, form, pub[5], pub[6], created.Unix(), wantExpiry)
			}
			if pub[3] != "1" || pub[2] != strings.TrimPrefix(c.key, "rsa") || !strings.HasPrefix(pub[11], "sc") || strings.ContainsAny(pub[11], "eEaA") {
				t.Errorf("%s: algorithm %s, %s bits, capabilities %q", form, pub[3], pub[2], pub[11])
			}
			if pub[1] != "-" || fpr[9] != fingerprint || uid[9] != "Demo Müller (release) <demo@example.com>" {
				t.Errorf("%s: validity %q, fingerprint %s want %s, user ID %q", form, pub[1], fpr[9], fingerprint, uid[9])
			}
			if sig[1] != "!" || sig[10] != "13x" || sig[15] != "10" { // good, positive certification, SHA-512
				t.Errorf("%s: self-signature %q", form, sig)
			}
		}
		// gpg shows "c" for every primary key, so ask the packet itself.
		if sig := selfSig(t, binary); !sig.FlagsValid || !sig.FlagCertify || !sig.FlagSign || sig.FlagEncryptStorage || sig.FlagEncryptCommunications || sig.FlagAuthenticate {
			t.Errorf("key flags of %+v", sig)
		}
		packets, err := newGnuPG(t).run(binary, "--list-packets", "--verbose")
		if err != nil || !strings.Contains(packets, "pref-hash-algos: 10 9 8") || !strings.Contains(packets, "primary user ID") {
			t.Errorf("packets: %v %s", err, packets)
		}
	}
}

func TestOpenPGPFingerprintIsStable(t *testing.T) {
	signer := keystest.Signer(t, "rsa2048")
	_, first, err := NewOpenPGP(t.Context(), signer, demoID, created, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	_, same, _ := NewOpenPGP(t.Context(), signer, UserID{Email: "x@example.com"}, created.In(time.FixedZone("", 3600)), created.Add(time.Hour*1e5))
	_, other, _ := NewOpenPGP(t.Context(), signer, demoID, created.Add(time.Second), time.Time{})
	if len(first) != 40 || first != strings.ToUpper(first) || same != first || other == first {
		t.Errorf("fingerprints %s, %s (same key), %s (other creation time)", first, same, other)
	}
}

// A later expiry must win over the first one in a key ring that has both.
func TestOpenPGPRenewal(t *testing.T) {
	signer, g := keystest.Signer(t, "rsa2048"), newGnuPG(t)
	made := time.Now().Add(-time.Hour)
	early, late := made.Add(30*24*time.Hour), made.Add(60*24*time.Hour)
	first, _, err := NewOpenPGP(t.Context(), signer, demoID, made, early)
	if err != nil {
		t.Fatal(err)
	}
	info, err := ReadOpenPGP(first)
	if err != nil {
		t.Fatal(err)
	}
	for time.Now().Unix() <= signatureTime(t, first).Unix() { // the newer one must be newer by a second
		time.Sleep(20 * time.Millisecond)
	}
	second, _, err := NewOpenPGP(t.Context(), signer, demoID, info.Created, late)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{second, first} {
		if out, err := g.run(data, "--import"); err != nil {
			t.Fatal(out)
		}
	}
	out, _ := g.run(nil, "--with-colons", "--fixed-list-mode", "--list-keys")
	if got := colons(out, "pub")[6]; got != strconv.FormatInt(late.Unix(), 10) {
		t.Errorf("expiry %s, want %d:\n%s", got, late.Unix(), out)
	}
}

// Bugs of others to avoid: expiry off by a second, dates that wrap round after 2106.
func TestOpenPGPTimes(t *testing.T) {
	signer := keystest.Signer(t, "rsa2048")
	born := created.Truncate(time.Second)
	for _, c := range []struct {
		name             string
		created, expires time.Time
		want             string // part of the error; "" for success
	}{
		{"never", created, time.Time{}, ""},
		{"one second", created, born.Add(time.Second), ""},
		{"last second", created, maxOpenPGPTime, ""},
		{"fraction is cut", created, maxOpenPGPTime.Add(time.Second - 1), ""},
		{"key of the future", time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), maxOpenPGPTime, ""},
		{"one second too late", created, maxOpenPGPTime.Add(time.Second), "2106-02-07"},
		{"fits the format, not gpg", created, time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC), "2106-02-07"},
		{"fits no format", created, time.Date(2161, 1, 1, 0, 0, 0, 0, time.UTC), "2106-02-07"},
		{"far future", created, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), "2106-02-07"},
		{"at birth", created, created, "not after"},
		{"within the same second", created, born.Add(time.Second - 1), "not after"},
		{"before birth", created, created.Add(-time.Hour), "not after"},
		{"no creation time", time.Time{}, time.Time{}, "1970"},
		{"created before 1970", time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}, "1970"},
		{"created after 2106", maxOpenPGPTime.Add(time.Second), time.Time{}, "2106"},
	} {
		binary, _, err := NewOpenPGP(t.Context(), signer, demoID, c.created, c.expires)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			if !c.expires.IsZero() && !errors.Is(err, ErrOpenPGPExpiry) {
				t.Errorf("%s: %v, want ErrOpenPGPExpiry", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		info, err := ReadOpenPGP(binary)
		if err != nil {
			t.Fatal(err)
		}
		if !info.Created.Equal(c.created.Truncate(time.Second)) || !info.Expires.Equal(c.expires.Truncate(time.Second)) {
			t.Errorf("%s: %v to %v, want %v to %v", c.name, info.Created, info.Expires, c.created, c.expires)
		}
	}
}

func TestUserID(t *testing.T) {
	for _, c := range []struct {
		id   UserID
		want string // "" when refused
	}{
		{UserID{Name: "A"}, "A"},
		{UserID{Email: "a@b"}, "<a@b>"},
		{UserID{Name: "A", Email: "a@b.c"}, "A <a@b.c>"},
		{UserID{Name: "A", Comment: "x y"}, "A (x y)"},
		{UserID{}, ""},
		{UserID{Comment: "x"}, ""},
		{UserID{Name: "A <root@example.com>"}, ""},
		{UserID{Name: "A", Comment: "x) <evil@example.com> ("}, ""},
		{UserID{Name: "A\nB"}, ""},
		{UserID{Name: "A\x00"}, ""},
		{UserID{Name: "A\x7f"}, ""},
		{UserID{Name: "A\xff"}, ""},
		{UserID{Name: " A"}, ""},
		{UserID{Name: "A", Email: "a"}, ""},
		{UserID{Name: "A", Email: "a@"}, ""},
		{UserID{Name: "A", Email: "@b"}, ""},
		{UserID{Name: "A", Email: "a@b@c"}, ""},
		{UserID{Name: "A", Email: "a b@c"}, ""},
		{UserID{Name: strings.Repeat("x", maxUserID)}, strings.Repeat("x", maxUserID)},
		{UserID{Name: strings.Repeat("x", maxUserID+1)}, ""},
	} {
		uid, err := c.id.packet()
		if (err == nil) != (c.want != "") || err == nil && uid.Id != c.want {
			t.Errorf("%+v: %v, %v, want %q", c.id, uid, err, c.want)
		}
	}
}

func TestOpenPGPNeedsRSA(t *testing.T) {
	if _, _, err := NewOpenPGP(t.Context(), keystest.Signer(t, "p256"), demoID, created, time.Time{}); !errors.Is(err, keys.ErrUnsupportedKey) {
		t.Errorf("an EC key: %v, want ErrUnsupportedKey", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := NewOpenPGP(ctx, keystest.Signer(t, "rsa2048"), demoID, created, time.Time{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// Whoever changes name, expiry or signature of a published key is found out, by us and by gpg.
func TestOpenPGPTampered(t *testing.T) {
	binary, _, err := NewOpenPGP(t.Context(), keystest.Signer(t, "rsa2048"), demoID, created, created.Add(1e5*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	name := bytes.Index(binary, []byte("Demo"))
	lifetime := bytes.Index(binary, []byte{0x05, 0x89}) // key expiration time subpacket (9, critical)
	if name < 0 || lifetime < 0 {
		t.Fatalf("the key has another form than the test believes: %x", binary)
	}
	for what, at := range map[string]int{"user ID": name, "expiry": lifetime + 2, "signature": len(binary) - 5} {
		changed := bytes.Clone(binary)
		changed[at] ^= 1
		if _, err := ReadOpenPGP(changed); err == nil {
			t.Errorf("%s: we accept it", what)
		}
		g := newGnuPG(t)
		out, _ := g.run(changed, "--import")
		if !strings.Contains(out, "no valid user IDs") && !strings.Contains(out, "w/o user IDs") {
			t.Errorf("%s: gpg accepts it: %s", what, out)
		}
	}
	for i := range binary { // the key's own algorithm and times, every length, every subpacket
		for bit := range 8 {
			changed := bytes.Clone(binary)
			changed[i] ^= 1 << bit
			if info, err := ReadOpenPGP(changed); err == nil {
				t.Errorf("bit %d of byte %d of %d changed and accepted: %+v", bit, i, len(binary), info)
			}
		}
	}
	if _, err := ReadOpenPGP(append(bytes.Clone(binary), binary...)); err == nil {
		t.Error("two keys were accepted as one")
	}
	for n := range len(binary) {
		if _, err := ReadOpenPGP(binary[:n]); err == nil {
			t.Errorf("cut to %d bytes and accepted", n)
		}
	}
}

func TestArmor(t *testing.T) {
	binary, _, err := NewOpenPGP(t.Context(), keystest.Signer(t, "rsa2048"), demoID, created, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := Armor(binary)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(text, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n")) || !bytes.HasSuffix(text, []byte("\n-----END PGP PUBLIC KEY BLOCK-----\n")) {
		t.Errorf("armour:\n%s", text)
	}
	path := filepath.Join(t.TempDir(), "key.asc")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "gpg", "--batch", "--no-tty", "--homedir", newGnuPG(t).home, "--dearmor", "-o", "-", path)
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, binary) {
		t.Errorf("gpg --dearmor gives other bytes: %v", err)
	}
}

func FuzzReadOpenPGP(f *testing.F) {
	binary, _, err := NewOpenPGP(f.Context(), keystest.Signer(f, "rsa2048"), demoID, created, time.Time{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(binary)
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if info, err := ReadOpenPGP(data); (info == nil) == (err == nil) {
			t.Errorf("%+v, %v", info, err)
		}
	})
}

// selfSig gives a made key's self-signature.
func selfSig(t *testing.T, binary []byte) *packet.Signature {
	t.Helper()
	r := packet.NewReader(bytes.NewReader(binary))
	for {
		p, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if sig, ok := p.(*packet.Signature); ok {
			return sig
		}
	}
}

func signatureTime(t *testing.T, binary []byte) time.Time { return selfSig(t, binary).CreationTime }
