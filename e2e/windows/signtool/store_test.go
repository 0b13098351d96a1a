package signtool

import (
	"crypto/sha1" // names certificates
	"crypto/x509"
	"fmt"
	"os"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// TestStoreCertificate signs with certificates that `signpath certificates register`
// put into the store: signtool learns provider and container from there.
func TestStoreCertificate(t *testing.T) {
	s := rig.TheService(t)
	g := programs(t)[0]
	w := winrig.Own(t, true) // the store holds one provider per certificate
	w.Trust(t, derOf(t, rig.Must(os.ReadFile(s.File("ca.pem"))), 0))
	exe := winrig.DLL(t, "amd64", "signpath.exe")
	for _, p := range []provider{ksp, csp} {
		tl := w.Tool(t, s, p.iface)
		tl.Run(t, exe, "certificates", "register", "--provider", p.iface).OK(t)
		for _, key := range keysOf(p) {
			leaf := rig.Must(x509.ParseCertificate(rig.Must(os.ReadFile(certificate(t, s, key, 0)))))
			for _, by := range [][]string{{"/sha1", fmt.Sprintf("%X", sha1.Sum(leaf.Raw))}, {"/n", leaf.Subject.CommonName}} {
				t.Run(p.name+"/"+key+"/"+by[0], func(t *testing.T) {
					c := count(t, s)
					tl := w.Tool(t, s, p.iface, c.settings()...)
					file := rig.Sample(t, "hello.exe")
					args := append([]string{"sign", "/fd", "SHA256", "/s", "My"}, by...)
					tl.Run(t, g.Exe, append(args, winrig.Path(file))...).OK(t).Says(t, "Successfully signed: "+winrig.Path(file))
					s.Authenticode(t, rig.Here, file, key)
					c.wants(t, 1, 1)
				})
			}
		}
		tl.Run(t, exe, "certificates", "unregister").OK(t)
	}
}
