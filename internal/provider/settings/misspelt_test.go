package settings

import (
	"runtime"
	"strings"
	"testing"
)

// A misspelt ApiUrl must not send the token to the default address.
func TestMisspeltAddress(t *testing.T) {
	const address = "https://sign.example.com/Api"
	for _, tt := range []struct {
		name, file string
		environ    []string
		tool       map[string]string
		source     string // of the problem; "" for none
		meant      string
	}{
		{"variable", "", []string{"SIGNPATH_API_URI=" + address}, nil, "environment variable SIGNPATH_API_URI", "SIGNPATH_API_URL"},
		{"variable without underscore", "", []string{"SIGNPATH_APIURL=" + address}, nil, "environment variable SIGNPATH_APIURL", "SIGNPATH_API_URL"},
		{"member", `{"ApiURI":"` + address + `"}`, nil, nil, "config.json, line 1, column 2", "ApiUrl"},
		{"member with underscore", `{"api_url":"` + address + `"}`, nil, nil, "config.json, line 1, column 2", "ApiUrl"},
		{"tool", "", nil, map[string]string{"ApiUri": address}, "the tool", "ApiUrl"},
		{"an address in the file", `{"ApiUrl":"` + address + `"}`, []string{"SIGNPATH_API_URI=" + address}, nil, "", ""},
		{"an address in the environment", `{"ApiURI":"` + address + `"}`, []string{"SIGNPATH_API_URL=" + address}, nil, "", ""},
		{"empty variable", "", []string{"SIGNPATH_API_URI="}, nil, "", ""},
		{"null", `{"ApiURI":null}`, nil, nil, "", ""},
		{"nearer to another name", "", []string{"SIGNPATH_API_TOKN=x1x1"}, nil, "", ""},
		{"as near to another name", "", []string{"SIGNPATH_API_KEY=x1x1"}, nil, "", ""},
		{"far", "", []string{"SIGNPATH_SOMETHING_ELSE=x1x1"}, nil, "", ""},
	} {
		s, err := loadFile(t, tt.file, tt.environ, Explicit{Values: tt.tool})
		p := problems(t, err)
		if tt.source == "" {
			if len(p) != 0 || tt.name != "empty variable" && len(s.Warnings) != 1 {
				t.Errorf("%s: %v %q", tt.name, err, s.Warnings)
			}
			continue
		}
		if len(p) != 1 || p[0].Field != "ApiUrl" || !strings.HasSuffix(p[0].Source, tt.source) || !strings.Contains(p[0].Cause, "did you mean "+tt.meant+"?") || !strings.Contains(p[0].Cause, DefaultAPIURL) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if len(s.Warnings) != 0 {
			t.Errorf("%s: said twice: %q", tt.name, s.Warnings)
		}
	}
}

func TestClientCertificateFiles(t *testing.T) {
	const cert, key = "SIGNPATH_TLS_CLIENT_CERTIFICATE_FILE=/c.pem", "SIGNPATH_TLS_CLIENT_KEY_FILE=/k.pem"
	for _, tt := range []struct {
		name         string
		environ      []string
		field, cause string // "" for none
	}{
		{"neither", nil, "", ""},
		{"both", []string{cert, key}, "", ""},
		{"no key", []string{cert}, "TlsClientCertificateFile", "name the key's file in TlsClientKeyFile"},
		{"no certificate", []string{key}, "TlsClientKeyFile", "name the certificate's file in TlsClientCertificateFile"},
		{"unusable key", []string{cert, "SIGNPATH_TLS_CLIENT_KEY_FILE=" + strings.Repeat("x", 5000)}, "TlsClientKeyFile", "bytes"},
	} {
		s, err := Load(tt.environ, Explicit{})
		p := problems(t, err)
		switch {
		case tt.field == "":
			if err != nil || tt.environ != nil && (s.TLSClientCertificateFile != "/c.pem" || s.TLSClientKeyFile != "/k.pem") {
				t.Errorf("%s: %v %q %q", tt.name, err, s.TLSClientCertificateFile, s.TLSClientKeyFile)
			}
		case len(p) != 1 || p[0].Field != tt.field || !strings.Contains(p[0].Cause, tt.cause) || !strings.Contains(p[0].Source, "environment variable SIGNPATH_TLS_CLIENT_"):
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	s, err := loadFile(t, `{"TlsClientCertificateFile":"/a.pem","tlsclientkeyfile":"/a.pem"}`, nil, Explicit{Values: map[string]string{"TlsClientKeyFile": "/b.pem"}})
	if err != nil || s.TLSClientCertificateFile != "/a.pem" || s.TLSClientKeyFile != "/b.pem" {
		t.Errorf("%v %q %q", err, s.TLSClientCertificateFile, s.TLSClientKeyFile)
	}
	// One from the Windows store beside them; elsewhere that one is refused anyway.
	_, err = Load([]string{cert, key, "SIGNPATH_TLS_CLIENT_CERTIFICATE=thumbprint:" + strings.Repeat("0", 40)}, Explicit{})
	want := "one client certificate only"
	if runtime.GOOS != "windows" {
		want = "on Windows only"
	}
	if p := problems(t, err); len(p) != 1 || p[0].Field != "TlsClientCertificate" || !strings.Contains(p[0].Cause, want) {
		t.Errorf("%v", err)
	}
	l := &loader{draft: draft{Settings: Settings{TLSClientCertificate: "thumbprint:00", TLSClientCertificateFile: "/c.pem", TLSClientKeyFile: "/k.pem"}}}
	l.finishClientCertificate()
	if p := l.problems; len(p) != 1 || !strings.Contains(p[0].Cause, "one client certificate only") {
		t.Errorf("%v", p)
	}
}
