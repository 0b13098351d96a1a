package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestRun: which stream gets what, and the exit code.
func TestRun(t *testing.T) {
	for _, c := range []struct {
		name      string
		args      []string
		in        io.Reader
		code      int
		out, errs string // what each begins with; "" means empty
	}{
		{"metadata", []string{"get-plugin-metadata"}, strings.NewReader("{}"), 0, `{"name":"signpath",`, ""},
		{"metadata without a request", []string{"get-plugin-metadata"}, strings.NewReader(""), 0, `{"name":"signpath",`, ""},
		{"no command", nil, strings.NewReader(""), 1, "", `{"errorCode":"VALIDATION_ERROR","errorMessage":"exactly one command`},
		{"two commands", []string{"describe-key", "x"}, strings.NewReader("{}"), 1, "", `{"errorCode":"VALIDATION_ERROR",`},
		{"unknown command", []string{"sign"}, strings.NewReader("{}"), 1, "", `{"errorCode":"VALIDATION_ERROR","errorMessage":"the command \"sign\"`},
		{"request cut off", []string{"describe-key"}, strings.NewReader(`{"keyId":`), 1, "", `{"errorCode":"VALIDATION_ERROR",`},
		{"input broken", []string{"describe-key"}, iotest.ErrReader(errors.New("gone")), 1, "", `{"errorCode":"ERROR","errorMessage":"the request on standard input cannot be read: gone"`},
		{"no settings", []string{"describe-key"}, strings.NewReader(`{"contractVersion":"1.0","keyId":"a/b"}`), 1, "", `{"errorCode":"VALIDATION_ERROR",`},
		{"version", []string{"--version"}, nil, 0, "notation-signpath ", ""},
		{"help", []string{"--help"}, nil, 0, "notation-signpath is a plug-in", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(c.args, []string{"SIGNPATH_LOG_FILE_LEVEL=none"}, c.in, &out, &errs)
			for _, s := range []struct{ got, want string }{{out.String(), c.out}, {errs.String(), c.errs}} {
				if !strings.HasPrefix(s.got, s.want) || (s.want == "") != (s.got == "") {
					t.Errorf("%q, want %q…", s.got, s.want)
				}
			}
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if errs.Len() > 0 && (!json.Valid(errs.Bytes()) || strings.Count(errs.String(), "\n") != 1) {
				t.Errorf("standard error is not one line of JSON: %q", errs.String())
			}
		})
	}
	if code := run([]string{"get-plugin-metadata"}, nil, strings.NewReader(""), broken{}, io.Discard); code != 1 {
		t.Errorf("an answer that did not arrive ends with %d", code)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("closed") }
