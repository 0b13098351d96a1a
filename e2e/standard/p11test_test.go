package standard

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"signpath/e2e/rig"
)

// p11test is OpenSC's test program for tokens. Of its tests, these end otherwise than
// with "pass", for the reason that stands beside; what they print about the module is
// checked as well.
var p11testDeviations = map[string]struct{ result, why string }{
	"wait_test":         {"skip", "needs a person who pulls a card"},
	"interface_test":    {"unknown", "wants the two interfaces of OpenSC itself, 3.0 and 2.20; ours are 3.0, 3.1 and 2.40"},
	"ec_sign_size_test": {"fail", "signs digests of 30, 31 and 33 bytes with CKM_ECDSA; the service signs digests of 20, 28, 32, 48 and 64 bytes, all else is CKR_DATA_LEN_RANGE"},
}

// TestP11Test runs OpenSC's p11test, which scripts/test builds from Debian's source
// package: it opens read/write sessions, so the setting for such tools is on.
func TestP11Test(t *testing.T) {
	t.Parallel()
	program := os.Getenv("E2E_P11TEST")
	if program == "" {
		t.Fatal("E2E_P11TEST names no program; run scripts/test standard, which builds it")
	}
	tl := rig.TheService(t).Tool(t, "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true")
	report := filepath.Join(t.TempDir(), "report.json")
	out := tl.Run(t, program, "-m", rig.Module, "-p", "CONFIG", "-s", "1", "-o", report)
	results := p11results(t, report)
	if len(results) < 11 {
		t.Fatalf("%d tests ran\n%s", len(results), out.Output)
	}
	signed := 0
	for _, r := range results {
		want := "pass"
		if d, ok := p11testDeviations[r.ID]; ok {
			want = d.result
		}
		if r.Result != want {
			t.Errorf("%s: %s, not %s\n%s", r.ID, r.Result, want, out.Output)
		}
		if r.ID != "readonly_tests" && r.ID != "multipart_tests" {
			continue
		}
		for _, row := range r.Data[1:] { // key id, mechanism, does signing and verifying work, …
			if signed++; row[2] != "YES" {
				t.Errorf("%s: %v", r.ID, row)
			}
		}
	}
	if signed < 10 {
		t.Errorf("only %d mechanisms signed\n%s", signed, out.Output)
	}
}

// p11result is one test in the report of p11test.
type p11result struct {
	ID     string     `json:"test_id"`
	Result string     `json:"result"`
	Data   [][]string `json:"data"`
}

func p11results(t *testing.T, file string) []p11result {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct{ Results []p11result }
	if err := json.Unmarshal(b, &report); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return report.Results
}
