package ctkchannel

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

type quiet struct {
	mu    sync.Mutex
	lines []string
}

func (q *quiet) Debug(string, ...any) {}
func (q *quiet) Warning(msg string, _ ...any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lines = append(q.lines, msg)
}

func (q *quiet) all() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return strings.Join(q.lines, "\n")
}

// echo signs by repeating what it was asked.
func echo(_ context.Context, instance string, algorithm byte, digest []byte) ([]byte, *Refusal) {
	if instance == "refused" {
		return nil, &Refusal{Code: -5, Message: "no"}
	}
	return slices.Concat([]byte(instance), []byte{algorithm}, digest), nil
}

func listen(t *testing.T, h Handler) (*Server, *quiet) {
	t.Helper()
	log := &quiet{}
	s, err := Listen(h, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, log
}

func TestAsk(t *testing.T) {
	s, log := listen(t, echo)
	digest := bytes.Repeat([]byte{7}, 32)
	c, err := ParseConfiguration(s.Admit("one", []byte{3, 4}).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	other := s.Admit("other", nil)
	refused := s.Admit("refused", nil)
	wrongKey := c
	wrongKey.Key[31] ^= 1
	if !bytes.Equal(c.Algorithms, []byte{3, 4}) {
		t.Errorf("algorithms %v", c.Algorithms)
	}
	for _, row := range []struct {
		name     string
		c        Configuration
		instance string
		want     string
	}{
		{"signs", c, "one", hex.EncodeToString(slices.Concat([]byte("one"), []byte{3}, digest))},
		{"refusal", refused, "refused", "error: no"},
		{"wrong key", wrongKey, "one", "error: " + errUnknown.Error()},
		{"key of another token", other, "one", "error: " + errUnknown.Error()},
		{"no such token, no key", Configuration{Port: c.Port}, "none", "error: " + errUnknown.Error()},
		{"no such token", c, "none", "error: " + errUnknown.Error()},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := Ask(t.Context(), row.c, row.instance, 3, digest)
			text := hex.EncodeToString(got)
			if err != nil {
				text = "error: " + err.Error()
			}
			if text != row.want {
				t.Errorf("%s, want %s", text, row.want)
			}
		})
	}
	var r *Refusal
	if _, err := Ask(t.Context(), refused, "refused", 3, digest); !errors.As(err, &r) || r.Code != -5 {
		t.Errorf("refusal %v", err)
	}
	again := s.Admit("one", nil) // a new run of the token
	if _, err := Ask(t.Context(), c, "one", 3, digest); err == nil {
		t.Error("the key of before still signs")
	}
	s.Expel("one")
	if _, err := Ask(t.Context(), again, "one", 3, digest); err == nil {
		t.Error("a token that is gone still signs")
	}
	s.Close() // its connections have written their lines then
	if !strings.Contains(log.all(), "without knowing the key") {
		t.Errorf("log: %s", log.all())
	}
}

// TestHandlerIsSafe: no request without the key reaches the handler, whatever is
// changed on the way, and no changed answer reaches the caller.
func TestChangedMessages(t *testing.T) {
	var mu sync.Mutex
	handled := 0
	s, log := listen(t, func(ctx context.Context, i string, a byte, d []byte) ([]byte, *Refusal) {
		mu.Lock()
		defer mu.Unlock()
		handled++
		return echo(ctx, i, a, d)
	})
	c := s.Admit("one", nil)
	digest := bytes.Repeat([]byte{7}, 32)
	request := len(hello) + 1 + 3 + nonceSize // bytes of message 1
	third := 2 + len(digest) + macSize
	answer := 3 + 3 + 1 + len(digest) + macSize
	count := func() int { mu.Lock(); defer mu.Unlock(); return handled }
	for _, row := range []struct {
		name  string
		up    bool
		bytes int
	}{{"from the extension", true, request + third}, {"from the app", false, nonceSize + macSize + answer}} {
		for at := range row.bytes {
			before := count()
			_, err := through(t, c, row.up, at, digest)
			if err == nil {
				t.Fatalf("%s, byte %d changed: signed all the same", row.name, at)
			}
			if n := count() - before; n != 0 && (row.up || at < nonceSize+macSize) {
				t.Fatalf("%s, byte %d changed: the handler was asked", row.name, at)
			}
		}
	}
	if n := strings.Count(log.all(), "\n"); n > 3 {
		t.Errorf("%d warnings of one attack", n)
	}
	if got, err := through(t, c, true, -1, digest); err != nil || len(got) == 0 {
		t.Fatalf("unchanged: %v", err)
	}
}

// through asks over a wire that flips a bit of one byte.
func through(t *testing.T, c Configuration, up bool, at int, digest []byte) ([]byte, error) {
	t.Helper()
	conn, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(c.Port))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// A changed length leaves one side waiting for bytes that never come.
	_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
	w := &wire{Conn: conn, up: up, at: at}
	return ask(w, c.Key, "one", 3, digest)
}

type wire struct {
	net.Conn
	up   bool
	at   int
	sent int
	got  int
}

func (w *wire) Write(b []byte) (int, error) {
	b = bytes.Clone(b)
	if i := w.at - w.sent; w.up && i >= 0 && i < len(b) {
		b[i] ^= 1
	}
	w.sent += len(b)
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if i := w.at - w.got; !w.up && i >= 0 && i < n {
		b[i] ^= 1
	}
	w.got += n
	return n, err
}

// TestHangUp: a signature that nobody waits for is given up.
func TestHangUp(t *testing.T) {
	asked, ended := make(chan bool), make(chan bool)
	s, _ := listen(t, func(ctx context.Context, _ string, _ byte, _ []byte) ([]byte, *Refusal) {
		close(asked)
		<-ctx.Done()
		close(ended)
		return nil, &Refusal{Code: -2, Message: "late"}
	})
	c := s.Admit("one", nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := Ask(ctx, c, "one", 1, make([]byte, 32)); err == nil {
		t.Error("an answer to nobody")
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the signature goes on although nobody waits")
	}
}

// TestClose: the end of the app ends what runs.
func TestClose(t *testing.T) {
	asked := make(chan bool)
	s, _ := listen(t, func(ctx context.Context, _ string, _ byte, _ []byte) ([]byte, *Refusal) {
		close(asked)
		<-ctx.Done()
		return nil, &Refusal{Code: -2, Message: "late"}
	})
	c := s.Admit("one", nil)
	done := make(chan error)
	go func() { _, err := Ask(t.Context(), c, "one", 1, make([]byte, 32)); done <- err }()
	<-asked
	s.Close()
	if <-done == nil {
		t.Error("signed after the end")
	}
	if _, err := Ask(t.Context(), c, "one", 1, make([]byte, 32)); err == nil {
		t.Error("signed after the end")
	}
}

// TestManyAtOnce: more callers than slots all get their own answer.
func TestManyAtOnce(t *testing.T) {
	s, err := open(echo, &quiet{}, time.Hour, time.Hour) // no caller is too slow, however busy the machine is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	var wg sync.WaitGroup
	for i := range 2 * maxConnections {
		id := "token " + strconv.Itoa(i)
		c := s.Admit(id, nil)
		wg.Go(func() {
			got, err := Ask(t.Context(), c, id, byte(i), []byte{1})
			if want := string(slices.Concat([]byte(id), []byte{byte(i), 1})); err != nil || string(got) != want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		})
	}
	wg.Wait()
}

// TestSilentStrangers: programs that connect and say nothing, or not enough, do not
// keep the extension out, however long they stay; a signature under way goes on.
func TestSilentStrangers(t *testing.T) {
	begun, goOn := make(chan bool, 1), make(chan bool)
	s, err := open(func(ctx context.Context, instance string, algorithm byte, digest []byte) ([]byte, *Refusal) {
		if instance == "slow" {
			begun <- true
			select {
			case <-goOn:
			case <-ctx.Done():
			}
		}
		return echo(ctx, instance, algorithm, digest)
	}, &quiet{}, time.Hour, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	one, slow := s.Admit("one", nil), s.Admit("slow", nil)
	done := make(chan error, 1)
	go func() { _, err := Ask(ctx, slow, "slow", 1, []byte{1}); done <- err }()
	<-begun
	for i := range 3 * maxConnections {
		c, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.Port()))))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		switch i % 3 {
		case 1:
			_, _ = c.Write([]byte(hello))
		case 2: // all of message 1
			_, _ = c.Write(append([]byte(hello+"\x03one"), make([]byte, nonceSize)...))
		}
	}
	if got, err := Ask(ctx, one, "one", 7, []byte{8}); err != nil || string(got) != "one\x07\x08" {
		t.Errorf("%q, %v", got, err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Errorf("the signature under way: %v", err)
	}
}

func TestConfiguration(t *testing.T) {
	good := Configuration{Port: 258, Key: newKey(), Algorithms: []byte{1, 2, 3}}.Bytes()
	for _, row := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"good", good, true},
		{"no algorithms", Configuration{Port: 1}.Bytes(), true},
		{"empty", nil, false},
		{"short", good[:len(good)-1], false},
		{"long", append(bytes.Clone(good), 0), false},
		{"another version", append([]byte("SPTK2"), good[5:]...), false},
	} {
		c, err := ParseConfiguration(row.b)
		if (err == nil) != row.ok {
			t.Errorf("%s: %v", row.name, err)
		}
		if err == nil && !bytes.Equal(c.Bytes(), row.b) {
			t.Errorf("%s: %x became %x", row.name, row.b, c.Bytes())
		}
	}
	if c, _ := ParseConfiguration(good); c.Port != 258 {
		t.Errorf("port %d", c.Port)
	}
}

func FuzzConfiguration(f *testing.F) {
	f.Add(Configuration{Port: 258, Algorithms: []byte{1, 2, 3}}.Bytes())
	f.Add([]byte("SPTK1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseConfiguration(b); err == nil && !bytes.Equal(c.Bytes(), b) {
			t.Errorf("%x became %x", b, c.Bytes())
		}
	})
}

// FuzzServer: no bytes of a stranger get a signature, or more than two messages.
func FuzzServer(f *testing.F) {
	f.Add([]byte("SPC1\x03one" + strings.Repeat("n", 32) + "\x03\x20" + strings.Repeat("d", 64)))
	f.Add([]byte("SPC1\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Server{keys: map[string]Key{"one": {1}}, stranger: Key{2}, log: &quiet{}, life: context.Background()}
		s.handle = func(context.Context, string, byte, []byte) ([]byte, *Refusal) {
			t.Error("the handler was asked")
			return nil, nil
		}
		here, there := net.Pipe()
		out := make(chan []byte)
		go func() { all, _ := io.ReadAll(there); out <- all }()
		go func() { _, _ = there.Write(b); _ = there.Close() }()
		if s.serve(here) == nil {
			t.Error("no error")
		}
		_ = here.Close()
		if n := len(<-out); n > nonceSize+macSize {
			t.Errorf("%d bytes for a stranger", n)
		}
	})
}

// FuzzAnswer: no bytes of somebody without the key are taken for an answer.
func FuzzAnswer(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0}, 300))
	f.Add((&talk{key: Key{1}}).answer(0, []byte("signature")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ask(&recorded{Reader: bytes.NewReader(b)}, newKey(), "one", 1, []byte{1}); err == nil {
			t.Error("taken")
		}
	})
}

type recorded struct {
	io.Reader
	bytes.Buffer
}

func (r *recorded) Read(b []byte) (int, error) { return r.Reader.Read(b) }
