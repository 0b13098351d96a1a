//go:build unix

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"signpath/internal/wire"
)

// The credentials of the fake service.
const (
	fakeOrganization = "7f3c2d10-5c3e-4b7a-9d52-0e6f1a2b3c4d"
	fakeToken        = "AAfake-token_of_44_characters_0123456789abcd"
)

// fake OPTION… runs a service that has what a real one has not on demand: an
// expired TLS certificate, another time, keys of any age and name, failures. It
// writes fake.json (for --config) and fake-ca.pem. Options:
//
//	tls=expired|soon|othername   its certificate
//	date=DURATION                its clock
//	fail=N                       so many requests for the list get a 503
//	me=NAME                      whose token it is
//	policies=NAME:STATE,…        STATE: good, expired, soon, future, none, gpg
func cmdFake(ts *testscript.TestScript, _ bool, args []string) {
	options := map[string]string{}
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		options[name] = value
	}
	skew := time.Duration(0)
	if v := options["date"]; v != "" {
		var err error
		skew, err = time.ParseDuration(v)
		ts.Check(err)
	}
	var failures atomic.Int64
	if v := options["fail"]; v != "" {
		n, err := strconv.Atoi(v)
		ts.Check(err)
		failures.Store(int64(n))
	}
	caKey, ca, caDER := fakeCertificate(ts, nil, nil, "Fake authority", -time.Hour, 1000*time.Hour)
	list := wire.SigningPolicies{SigningPolicies: []wire.SigningPolicy{}}
	for p := range strings.SplitSeq(options["policies"], ",") {
		if name, state, ok := strings.Cut(p, ":"); ok {
			list.SigningPolicies = append(list.SigningPolicies, fakePolicy(ts, ca, caKey, name, state))
		}
	}
	span := map[string][2]time.Duration{"": {-time.Hour, 1000 * time.Hour}, "othername": {-time.Hour, 1000 * time.Hour}, "expired": {-48 * time.Hour, -24 * time.Hour}, "soon": {-time.Hour, 48 * time.Hour}}[options["tls"]]
	key, _, der := fakeCertificate(ts, ca, caKey, options["tls"], span[0], span[1])

	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
		answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
		_, path, _ := strings.Cut(r.URL.Path, "/v1/")
		path = strings.TrimPrefix(path, fakeOrganization+"/")
		switch {
		case path == "Meta/SystemInfo":
			answer(map[string]string{"version": "9.8.7"})
		case r.Header.Get("Authorization") != "Bearer "+fakeToken:
			w.WriteHeader(http.StatusUnauthorized)
			answer(wire.NewProblem(http.StatusUnauthorized, "nobody has "+r.Header.Get("Authorization")))
		case path == "CIUsers/Me" && options["me"] != "":
			answer(map[string]string{"name": options["me"]})
		case path == "Cryptoki/MySigningPolicies" && failures.Add(-1) >= 0:
			http.Error(w, "<html>busy, "+r.Header.Get("Authorization")+"</html>", http.StatusServiceUnavailable)
		case path == "Cryptoki/MySigningPolicies":
			answer(list)
		default:
			http.NotFound(w, r)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	ts.Defer(server.Close)
	caFile := ts.MkAbs("fake-ca.pem")
	ts.Check(os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600))
	config, err := json.Marshal(map[string]any{
		"OrganizationId": fakeOrganization, "ApiToken": fakeToken, "ApiUrl": server.URL + "/Api", "TrustedCaFile": caFile,
		"Log": map[string]any{"File": map[string]string{"Directory": ts.MkAbs("log")}},
	})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("fake.json"), config, 0o600))
}

// fakeCertificate makes a certificate; without an issuer it is an authority.
func fakeCertificate(ts *testscript.TestScript, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey, name string, from, to time.Duration) (*ecdsa.PrivateKey, *x509.Certificate, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(from), NotAfter: now.Add(to),
		DNSNames: []string{"sign.example.com"}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if name != "othername" {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	if issuer == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.SubjectKeyId = true, true, x509.KeyUsageCertSign, []byte{1}
		issuer, issuerKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, crypto.PublicKey(key.Public()), issuerKey)
	ts.Check(err)
	return key, c, der
}

func fakePolicy(ts *testscript.TestScript, ca *x509.Certificate, caKey *ecdsa.PrivateKey, name, state string) wire.SigningPolicy {
	const d = 24 * time.Hour
	span := map[string][2]time.Duration{"good": {-d, 400 * d}, "expired": {-9 * d, -3 * d}, "soon": {-d, 9 * d}, "future": {5 * d, 50 * d}, "none": {-d, 400 * d}, "gpg": {-d, 400 * d}}[state]
	key, _, der := fakeCertificate(ts, ca, caKey, name, span[0], span[1])
	point, err := key.PublicKey.Bytes()
	ts.Check(err)
	project, policy, _ := strings.Cut(name, "/")
	p := wire.SigningPolicy{SigningPolicyID: fakeOrganization, ProjectSlug: project, SigningPolicySlug: policy, CertificateType: wire.CertificateX509,
		KeyType: wire.KeyECDSA, KeySizeInBits: 256, PublicKeyBytes: point}
	switch state {
	case "gpg":
		p.CertificateType = wire.CertificateGPG
	case "none":
	default:
		p.CertificateBytes = der
	}
	return p
}
