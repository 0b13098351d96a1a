package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A list that the caller knows comes as "the same"; a 304 that nobody asked for
// is a broken service, and what is no entity tag is never sent back.
func TestList(t *testing.T) {
	for _, c := range []struct {
		name, known, sent string // the tag that is known, that of the service
		asked             string // If-None-Match
		status            int    // of the service when it is asked with a tag
		tag               string
		same              bool
		class             Class // 0: no error
	}{
		{"nothing known", "", `W/"1"`, "", 200, `W/"1"`, false, 0},
		{"the same", `W/"1"`, `W/"1"`, `W/"1"`, 304, `W/"1"`, true, 0},
		{"another", `"1"`, `"2"`, `"1"`, 200, `"2"`, false, 0},
		{"304 out of nowhere", "", "", "", 304, "", false, Service},
		{"no tags", "", "", "", 200, "", false, 0},
		{"no entity tag", "", "x", "", 200, "", false, 0},
		{"a tag with a blank", "", `"a b"`, "", 200, "", false, 0},
		{"a long tag", "", `"` + strings.Repeat("x", maxTag) + `"`, "", 200, "", false, 0},
		{"refused", `"1"`, `"1"`, `"1"`, 401, "", false, User},
	} {
		asked := "never"
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked = r.Header.Get("If-None-Match")
			if c.sent != "" {
				w.Header().Set("ETag", c.sent)
			}
			w.WriteHeader(c.status)
			if c.status == 200 {
				_, _ = io.WriteString(w, emptyList)
			}
		})
		list, err := s.client().List(context.Background(), Filter{}, Attempt{Once: true}, c.known)
		var class Class
		var e *Error
		if errors.As(err, &e) {
			class = e.Class
		}
		if class != c.class || list.Tag != c.tag || list.Same != c.same || asked != c.asked {
			t.Errorf("%s: %+v, %v, asked with %q", c.name, list, err, asked)
		}
		if c.class == 0 && (string(list.Body) == emptyList) == c.same {
			t.Errorf("%s: body %q", c.name, list.Body)
		}
	}
}

// Answers are packed on their way unless that way stays on this machine.
func TestPacking(t *testing.T) {
	c := serve(t, nil).client()
	for address, want := range map[string]string{
		"https://signing.example/Api": "gzip", "https://10.0.0.1/": "gzip", "https://127.0.0.1:8443/": "identity", "https://[::1]/": "identity", "https://localhost/": "identity",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		q, err := request{method: http.MethodGet, url: u}.http(context.Background(), c, "t")
		if err != nil || q.Header.Get("Accept-Encoding") != want {
			t.Errorf("%s: %v, %v", address, q.Header, err)
		}
	}
}
