package kill

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// The load: this many clients of each kind.
const (
	restClients = 6 // straight against the API, one signature after the other
	tools       = 2 // OpenSSL through the module, which has to get over every outage
)

// The keys that are used; RSA signatures are the same bytes for every client.
var policies = []string{"p256", "rsa2048"}

// target is what clients sign with.
type target struct {
	env     map[string]string // SIGNPATH_… of the service, or of one of its replicas
	project string
	keys    map[string]crypto.PublicKey // by policy
}

// held is a signature that a client has in its hands.
type held struct {
	policy    string
	digest    [32]byte
	signature []byte
}

// load is what clients do while something is killed.
type load struct {
	t    *testing.T
	stop context.CancelFunc
	all  sync.WaitGroup

	mu     sync.Mutex
	held   []held
	failed int // requests of REST clients that got no signature
}

func startLoad(t *testing.T, targets ...target) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, stop: cancel}
	t.Cleanup(func() { cancel(); l.all.Wait() })
	for i := range restClients {
		l.all.Go(func() { l.rest(ctx, targets[i%len(targets)], i) })
	}
	for i := range tools {
		tg := targets[i%len(targets)]
		s := rig.Service{Env: tg.env}
		tl := s.Tool(t, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=90", "SIGNPATH_HTTP_REQUEST_TIMEOUT_IN_SECONDS=15", "SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY=0.3")
		dir := t.TempDir()
		l.all.Go(func() { l.tool(ctx, tg, tl, dir, i) })
	}
	return l
}

// end stops the clients and gives what they hold.
func (l *load) end() []held {
	l.stop()
	l.all.Wait()
	return l.held
}

// count is how many signatures there are so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}

// more waits until the clients have got that many signatures more.
func (l *load) more(n int) {
	l.t.Helper()
	want := l.count() + n
	for end := time.Now().Add(90 * time.Second); l.count() < want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("no signatures any more: %d, want %d", l.count(), want)
		}
	}
}

// keep checks a signature before it counts.
func (l *load) keep(tg target, h held) {
	ok := false
	switch key := tg.keys[h.policy].(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(key, h.digest[:], h.signature)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(key, crypto.SHA256, h.digest[:], h.signature) == nil
	}
	if !ok {
		l.t.Errorf("a signature with %s does not verify", h.policy)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, h)
}

// rest signs one digest after the other until ctx ends. A request that fails is not repeated.
func (l *load) rest(ctx context.Context, tg target, number int) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(rig.Must(os.ReadFile(tg.env["SIGNPATH_TRUSTED_CA_FILE"])))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	for i := 0; ctx.Err() == nil; i++ {
		h := held{policy: policies[i%len(policies)], digest: sha256.Sum256(fmt.Appendf(nil, "%s %d %d", l.t.Name(), number, i))}
		var err error
		// The request itself is not canceled: what was asked for is waited for.
		if h.signature, err = signHash(client, tg, h); err != nil {
			l.mu.Lock()
			l.failed++
			l.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			continue
		}
		l.keep(tg, h)
	}
}

func signHash(client *http.Client, tg target, h held) ([]byte, error) {
	data := map[string]any{"hash": base64.StdEncoding.EncodeToString(h.digest[:]), "signatureAlgorithm": "Ecdsa", "ecdsaOptions": map[string]string{"signatureFormat": "Asn1"}}
	if rig.IsRSA(h.policy) {
		data = map[string]any{"hash": data["hash"], "signatureAlgorithm": "RsaPkcs1", "rsaHashAlgorithm": "2.16.840.1.101.3.4.2.1"}
	}
	body, err := json.Marshal(map[string]any{"projectSlug": tg.project, "signingPolicySlug": h.policy, "hashSigningData": data})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodPost, tg.env["SIGNPATH_API_URL"]+"/v1/"+tg.env["SIGNPATH_ORGANIZATION_ID"]+"/SigningRequests/SignHash", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+tg.env["SIGNPATH_API_TOKEN"])
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", answer.Status, content)
	}
	var result struct{ HashSigningResult struct{ Signature []byte } }
	return result.HashSigningResult.Signature, json.Unmarshal(content, &result)
}

// tool lets OpenSSL sign one file after the other; the module has to get over every outage.
func (l *load) tool(ctx context.Context, tg target, tl *rig.Tool, dir string, number int) {
	const policy = "rsa2048"
	for i := 0; ctx.Err() == nil; i++ {
		content := fmt.Appendf(nil, "%s tool %d %d", l.t.Name(), number, i)
		file := rig.Write(l.t, filepath.Join(dir, fmt.Sprint(i)), content)
		r := tl.Run(l.t, "openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sha256",
			"-sign", "pkcs11:id="+tg.project+"/"+policy+";type=private;pin-value=CONFIG", "-out", file+".sig", file)
		if r.Code != 0 {
			l.t.Errorf("a tool lost its signature:\n%s\n%s", r.Output, tl.Log())
			return
		}
		l.keep(tg, held{policy, sha256.Sum256(content), rig.Must(os.ReadFile(file + ".sig"))})
	}
}

// entry is a line of an export.
type entry struct {
	Seq    uint64
	Type   string
	Time   time.Time
	Intent uint64
	Data   struct {
		Hash, SigningPolicySlug, SignatureSHA256 string
	}
}

// agree holds the audit log (its command line arguments: which database) against
// the signatures that clients have. open: intents that may still be without
// outcome, because the replica that wrote them was killed a short time ago.
func agree(t *testing.T, l *load, open bool, database ...string) (unknown int) {
	t.Helper()
	audit := func(command string, more ...string) string {
		return rig.Run(t, nil, rig.Binary, append(append([]string{"audit", command}, database...), more...)...).OK(t).Output
	}
	if said := audit("verify"); !strings.Contains(said, "intact: ") {
		t.Errorf("audit verify: %s", said)
	}
	export := filepath.Join(t.TempDir(), "audit.jsonl")
	audit("export", "--out", export)
	intents, outcomes := map[uint64]entry{}, map[uint64]entry{}
	byDigest := map[string][]uint64{}
	kinds := map[string]int{}
	for line := range bytes.Lines(rig.Must(os.ReadFile(export))) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		switch {
		case !strings.HasPrefix(e.Type, "HashSigning."):
			continue
		case e.Type == "HashSigning.Intent":
			intents[e.Seq] = e
			key := e.Data.SigningPolicySlug + " " + e.Data.Hash
			byDigest[key] = append(byDigest[key], e.Seq)
		case e.Intent != 0:
			if before, twice := outcomes[e.Intent]; twice {
				t.Errorf("the intent %d ends twice: %s and %s", e.Intent, before.Type, e.Type)
			}
			if _, announced := intents[e.Intent]; !announced {
				t.Errorf("%s without intent: %s", e.Type, line)
			}
			outcomes[e.Intent] = e
		}
		kinds[strings.TrimPrefix(e.Type, "HashSigning.")]++
	}
	for _, h := range l.held {
		sum := sha256.Sum256(h.signature)
		found := ""
		for _, seq := range byDigest[h.policy+" "+hex.EncodeToString(h.digest[:])] {
			o, ended := outcomes[seq]
			switch {
			case !ended && open, o.Type == "HashSigning.OutcomeUnknown":
				found = "unknown"
			case o.Type == "HashSigning.Completed" && o.Data.SignatureSHA256 == hex.EncodeToString(sum[:]):
				found = "completed"
			}
			if found == "completed" {
				break
			}
		}
		if found == "" {
			t.Errorf("a client holds a signature with %s over %x that is not on record: intents %v", h.policy, h.digest, byDigest[h.policy+" "+hex.EncodeToString(h.digest[:])])
		}
	}
	for seq, e := range intents {
		if _, ended := outcomes[seq]; !ended && !open {
			t.Errorf("the intent %d of %s has no outcome", seq, e.Time)
		}
	}
	t.Logf("%d signatures held, %d requests without; on record: %v", len(l.held), l.failed, kinds)
	return kinds["OutcomeUnknown"]
}
