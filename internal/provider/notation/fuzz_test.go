package notation

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
)

// FuzzRun feeds requests to every command. Without settings nothing reaches the
// network; whatever comes out is one JSON document.
func FuzzRun(f *testing.F) {
	for _, s := range []string{"", "{}", "null", `{"contractVersion":"1.0","keyId":"app/p256","keySpec":"EC-256","hashAlgorithm":"SHA-256","payload":"AAEC","pluginConfig":{"OrganizationId":"x","ConfigFile":""}}`,
		`{"contractVersion":"2.0","keyId":"a"}`, `{"pluginConfig":{"Log.File.Level":"none"}}`, "{\"keyId\":\"\xff\"}", `[{}]`, `{"payload":"*"}`} {
		for i := range Commands() {
			f.Add(i, []byte(s))
		}
	}
	// No organization: every command ends before it would call the service. A
	// configuration file is not for the fuzzer to choose, nor is a log folder.
	p := &Plugin{Version: "1.2.3", Environ: []string{"SIGNPATH_LOG_FILE_LEVEL=none"}}
	f.Fuzz(func(t *testing.T, command int, request []byte) {
		names := Commands()
		name := names[(command%len(names)+len(names))%len(names)]
		if r, err := decode[keyRequest](request); err == nil && len(r.PluginConfig) > 0 {
			if _, err := json.Marshal(r.PluginConfig); err != nil {
				t.Fatal(err)
			}
			request = []byte(`{"contractVersion":"1.0","keyId":` + quoted(r.KeyID) + `}`)
		}
		answer, err := p.Run(context.Background(), name, request)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code == "" || e.Message == "" || !json.Valid(e.JSON()) {
				t.Fatalf("%v", err)
			}
			return
		}
		if !json.Valid(answer) {
			t.Fatalf("%s", answer)
		}
	})
}

func quoted(s string) string { b, _ := json.Marshal(s); return string(b) }

// FuzzParseChain: a file of issuers is foreign text.
func FuzzParseChain(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := parseChain(data)
		if (err == nil) != (len(certs) > 0) {
			t.Fatalf("%d certificates, %v", len(certs), err)
		}
		if err == nil {
			_, _ = buildChain(certs[0], certs[1:])
		}
	})
}
