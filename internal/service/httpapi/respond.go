package httpapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"signpath/internal/wire"
)

// gzipFrom is the size in bytes from which a compressible answer is compressed.
const gzipFrom = 4096

// json answers with v.
func (x *exchange) json(status int, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	return x.body(status, "application/json", body)
}

// revalidated answers with a body that the client may keep and must ask about
// each time before it uses it again: with status 304 and nothing else when the
// client has it already (RFC 9110 sections 13.1.2 and 15.4.5). It is compressed
// as compressibleJSON does. The caller sets Vary.
func (x *exchange) revalidated(contentType string, body []byte) error {
	sum := sha256.Sum256(body)
	tag := `W/"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"` // weak: one for all codings
	h := x.w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	if matchesTag(x.r.Header, tag) {
		x.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return x.compressible(http.StatusOK, contentType, body)
}

// compressibleJSON answers with v, compressed when it is large and the client
// says that it can read that. Only for answers without secrets, whose length
// tells nothing.
func (x *exchange) compressibleJSON(status int, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	x.w.Header().Set("Vary", "Accept-Encoding")
	return x.compressible(status, "application/json", body)
}

func (x *exchange) compressible(status int, contentType string, body []byte) error {
	if len(body) >= gzipFrom && acceptsGzip(x.r.Header) {
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err != nil {
			return fmt.Errorf("compressing the answer: %w", err)
		}
		_, _ = z.Write(body) // a bytes.Buffer takes everything
		_ = z.Close()
		x.w.Header().Set("Content-Encoding", "gzip")
		body = b.Bytes()
	}
	return x.body(status, contentType, body)
}

// matchesTag reads If-None-Match with the weak comparison (RFC 9110 section 8.8.3.2).
func matchesTag(h http.Header, tag string) bool {
	for entry := range strings.SplitSeq(strings.Join(h.Values("If-None-Match"), ","), ",") {
		if e := strings.TrimSpace(entry); e == "*" || strings.TrimPrefix(e, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// problem answers with an error document; it cannot fail.
func (x *exchange) problem(p *wire.Problem) {
	body, err := encode(p)
	if err != nil { // a Problem holds nothing that cannot be encoded
		body = []byte("{}\n")
	}
	_ = x.body(p.Status, wire.ProblemType, body)
}

// attachment answers with a file that browsers save under name.
func (x *exchange) attachment(contentType, name string, body []byte) error {
	x.w.Header().Set("Content-Disposition", `attachment; filename="`+safeFileName(name)+`"`)
	return x.body(http.StatusOK, contentType, body)
}

func (x *exchange) body(status int, contentType string, body []byte) error {
	h := x.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return nil
	}
	if _, err := x.w.Write(body); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// encode makes JSON without the escapes for HTML that encoding/json adds, so
// that echoed metadata stays as it came.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding the answer: %w", err)
	}
	return b.Bytes(), nil
}

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3).
func acceptsGzip(h http.Header) bool {
	star := false
	for entry := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		coding, weight, _ := strings.Cut(entry, ";")
		accepted := true
		if name, q, ok := strings.Cut(strings.TrimSpace(weight), "="); ok && strings.EqualFold(strings.TrimSpace(name), "q") {
			value, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			accepted = err == nil && value > 0
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return accepted
		case "*":
			star = accepted
		}
	}
	return star
}

// safeFileName keeps the characters of slugs.
func safeFileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}, name)
}
