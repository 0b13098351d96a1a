package faultproxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// serveTCP relays one connection.
func (p *Proxy) serveTCP(c net.Conn) {
	f := p.fault()
	if f.Kind == Garbage {
		_, _ = io.WriteString(c, f.garbage())
		return
	}
	if f.Kind == Reset && f.After == 0 {
		reset(c)
		return
	}
	if f.Kind == Close && f.After == 0 {
		return
	}
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		reset(c)
		return
	}
	defer up.Close()
	p.done.Add(1)
	go func() {
		defer p.done.Done()
		_, _ = io.Copy(up, c)
		_ = up.(*net.TCPConn).CloseWrite()
		if f.Kind == Stall {
			_ = up.Close()
		}
	}()
	p.deliver(c, c, up, f)
}

// serveHTTP answers the requests of one connection.
func (p *Proxy) serveHTTP(raw net.Conn) {
	c := raw
	if p.tls != nil {
		t := tls.Server(raw, p.tls)
		if t.Handshake() != nil {
			return
		}
		c = t
	}
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.arrived = append(p.arrived, time.Now())
		p.mu.Unlock()
		if !p.answer(raw, c, r, body, p.fault()) {
			return
		}
	}
}

// answer gives one answer and tells whether the connection lives on.
func (p *Proxy) answer(raw, c net.Conn, r *http.Request, body []byte, f Fault) bool {
	if f.Kind != Slow {
		p.pause(f.Pause)
	}
	var out []byte
	var err error
	switch f.Kind {
	case Refuse, CloseAfterRequest:
		return false
	case Garbage:
		_, _ = io.WriteString(c, f.garbage())
		return false
	case Status:
		out = f.statusAnswer()
	default:
		if out, err = p.forward(r, body, f); err != nil {
			return false
		}
	}
	if f.Kind == LostAnswer {
		return false
	}
	keep := p.deliver(raw, c, bytes.NewReader(out), f)
	return keep && !r.Close && f.Kind != WrongLength && f.Kind != CloseAnswered
}

// deliver copies the answer to the client with the fault, and tells whether the
// connection may live on.
func (p *Proxy) deliver(raw, c net.Conn, answer io.Reader, f Fault) bool {
	switch f.Kind {
	case Reset:
		_, _ = io.CopyN(c, answer, int64(f.After))
		reset(raw)
		return false
	case Close:
		_, _ = io.CopyN(c, answer, int64(f.After))
		return false
	case Stall:
		_, _ = io.CopyN(c, answer, int64(f.After))
		gone := make(chan struct{})
		if p.base != nil { // in TCP mode the other direction reads
			go func() {
				defer close(gone)
				_, _ = io.Copy(io.Discard, c)
			}()
		} else {
			go func() {
				defer close(gone)
				_, _ = io.Copy(io.Discard, answer)
			}()
		}
		select {
		case <-p.ctx.Done():
		case <-gone:
		}
		return false
	case Slow:
		piece := make([]byte, max(f.Chunk, 1))
		for {
			n, err := answer.Read(piece)
			if n > 0 {
				if _, werr := c.Write(piece[:n]); werr != nil {
					return false
				}
			}
			if err != nil {
				return err == io.EOF
			}
			select {
			case <-p.ctx.Done():
				return false
			default:
				p.pause(f.Pause)
			}
		}
	}
	_, err := io.Copy(c, answer)
	return err == nil
}

// forward asks the service and writes its answer out whole.
func (p *Proxy) forward(r *http.Request, body []byte, f Fault) ([]byte, error) {
	u := *p.base
	u.Path, u.RawPath, u.RawQuery = r.URL.Path, r.URL.RawPath, r.URL.RawQuery
	q, err := http.NewRequestWithContext(p.ctx, r.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header = r.Header.Clone()
	resp, err := p.http.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	length := len(content)
	if f.Kind == WrongLength {
		length = max(length+f.Delta, 0)
	}
	return render(resp.StatusCode, resp.Header, content, length), nil
}

func (f Fault) garbage() string {
	if f.Body != "" {
		return f.Body
	}
	return garbage
}

func (f Fault) statusAnswer() []byte {
	status := f.Status
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	return render(status, f.Header, []byte(f.Body), len(f.Body))
}

func render(status int, header http.Header, body []byte, length int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	h := header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Del("Transfer-Encoding")
	h.Set("Content-Length", strconv.Itoa(length))
	if status == http.StatusNoContent || status == http.StatusNotModified {
		h.Del("Content-Length")
		body = nil
	}
	_ = h.Write(&b)
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}
