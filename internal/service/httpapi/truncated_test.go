package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A client that closes its half of the connection within the body is told why
// nothing was signed.
func TestTruncatedBody(t *testing.T) {
	b := newBench(t)
	server := httptest.NewServer(b.handler)
	defer server.Close()
	const form = "--x\r\nContent-Disposition: form-data; name=\"ProjectSlug\"\r\n\r\ndemo"
	const json = `{"projectSlug":"demo",`
	for _, c := range []struct{ name, route, contentType, framing, body string }{
		{"form", "SigningRequests", "multipart/form-data; boundary=x", "Content-Length: 500", form},
		{"form in chunks", "SigningRequests", "multipart/form-data; boundary=x", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s", len(form)+9, form)},
		{"JSON", "SigningRequests/SignHash", "application/json", "Content-Length: 500", json},
		{"JSON in chunks", "SigningRequests/SignHash", "application/json", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", len(json), json)},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST /Api/v1/%s/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n%s\r\n\r\n%s",
				b.org, c.route, b.token.Reveal(), c.contentType, c.framing, c.body)
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != 400 || !strings.Contains(string(text), "ends before") && !strings.Contains(string(text), "ended before") {
				t.Errorf("%s %s %v", answer.Status, text, err)
			}
		})
	}
}
