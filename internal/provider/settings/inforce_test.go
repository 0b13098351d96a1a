package settings

import (
	"strings"
	"testing"
)

// Every setting can be shown, with its source, and none shows a secret.
func TestInForce(t *testing.T) {
	const token, password = "AAqi7zXv-token-of-44-characters_0123456789ab", "pa55word"
	s, err := load([]string{
		"SIGNPATH_CONFIG_FILE=c.json", "SIGNPATH_API_TOKEN=" + token, "SIGNPATH_TIMEOUTS_SERVICE_UNAVAILABLE=7",
		"http_proxy=http://me:" + password + "@proxy.example.com:3128",
	}, Explicit{ProjectSlug: "demo"}, func(string) (*node, *fileError) {
		return parseFile([]byte(`{"SigningPolicySlug": "release", "Log": {"File": {"Level": "debug"}}}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(inForce) != len(Names()) {
		t.Errorf("%d settings can be shown, there are %d", len(inForce), len(Names()))
	}
	got := map[string]Value{}
	for _, v := range s.InForce() {
		got[v.JSON] = v
		if strings.Contains(v.Value+v.Source, token[:6]) || strings.Contains(v.Value+v.Source, password) {
			t.Errorf("%s shows a secret: %q", v.JSON, v)
		}
	}
	for _, w := range []Value{
		{"", "", "c.json", "environment variable SIGNPATH_CONFIG_FILE"},
		{"ApiToken", "", "[redacted] (44 characters, plain)", "environment variable SIGNPATH_API_TOKEN"},
		{"ApiUrl", "", DefaultAPIURL, ""},
		{"HttpProxy", "", "http://proxy.example.com:3128", "environment variable http_proxy"},
		{"ProjectSlug", "", "demo", "the tool"},
		{"SigningPolicySlug", "", "release", "file c.json, line 1, column 23"},
		{"Log.File.Level", "", "debug", "file c.json, line 1, column 60"},
		{"ServiceUnavailableTimeoutInSeconds", "", "7", "environment variable SIGNPATH_TIMEOUTS_SERVICE_UNAVAILABLE"},
		{"HttpRequestTimeoutInSeconds", "", "30", ""},
		{"OrganizationId", "", "", ""},
	} {
		v := got[w.JSON]
		if v.Value != w.Value || v.Source != w.Source {
			t.Errorf("%s: %q from %q, want %q from %q", w.JSON, v.Value, v.Source, w.Value, w.Source)
		}
		if s.Source(w.JSON) != v.Source && w.JSON != nameTotal {
			t.Errorf("%s: Source says %q", w.JSON, s.Source(w.JSON))
		}
	}
}
