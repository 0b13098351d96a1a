package syslog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"signpath/internal/service/audit"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
)

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]string{
		"udp://log.example.com": "udp://log.example.com:514", "udp://10.0.0.1:5514": "udp://10.0.0.1:5514", "tcp://[::1]": "tcp://[::1]:601",
		"tcp://log:601/": "tcp://log:601", "unix:///dev/log": "unix:///dev/log", "tls://log": "tls://log:6514",
	} {
		if got, err := ParseTarget(text); err != nil || got.String() != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "log", "log:514", "relp://log", "udp://", "udp://log/path", "unix://dev/log", "unix:///", "tcp://u:p@log", "tcp://log?x=1"} {
		if _, err := ParseTarget(text); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// receiver takes what a syslog server takes.
type receiver struct {
	mu    sync.Mutex
	lines []string
	close func()
	addr  string
}

func (r *receiver) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func (r *receiver) sequences(t *testing.T) (out []int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		_, id, ok := strings.Cut(l, `[meta sequenceId="`)
		n, err := strconv.Atoi(id[:strings.IndexByte(id, '"')])
		if !ok || err != nil {
			t.Fatalf("%q", l)
		}
		out = append(out, n)
	}
	return out
}

// tcpReceiver reads octet counting (RFC 6587 section 3.4.1).
func tcpReceiver(t *testing.T, address string) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, l)
}

func serve(t *testing.T, l net.Listener) *receiver {
	t.Helper()
	r := &receiver{addr: l.Addr().String()}
	var mu sync.Mutex
	var conns []net.Conn
	r.close = func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
		}
	}
	t.Cleanup(r.close)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			go func() {
				b := bufio.NewReader(c)
				for {
					length, err := b.ReadString(' ')
					if err != nil {
						return
					}
					n, err := strconv.Atoi(strings.TrimSpace(length))
					if err != nil {
						r.add("bad frame " + length)
						return
					}
					m := make([]byte, n)
					if _, err := io.ReadFull(b, m); err != nil {
						return
					}
					r.add(string(m))
				}
			}()
		}
	}()
	return r
}

// datagrams reads one message per datagram.
func datagrams(t *testing.T, network, address string) *receiver {
	t.Helper()
	var c net.PacketConn
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{addr: c.LocalAddr().String(), close: func() { _ = c.Close() }}
	t.Cleanup(r.close)
	go func() {
		b := make([]byte, 1<<17)
		for {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			r.add(string(b[:n]))
		}
	}()
	return r
}

type world struct {
	st  store.Store
	log *audit.Log
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	log, err := audit.Open(t.Context(), st, audit.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close(context.Background()) })
	return &world{st, log}
}

func (w *world) record(t *testing.T, n int, data string) {
	t.Helper()
	for i := range n {
		if _, err := w.log.Record(t.Context(), audit.Event{Type: "Test.Entry", Actor: audit.Actor{Name: "Ä " + strconv.Itoa(i)}, Data: json.RawMessage(data)}); err != nil {
			t.Fatal(err)
		}
	}
}

// start runs a stream; the function that it gives ends it.
func (w *world) start(t *testing.T, target string, shared bool) (stop func()) {
	t.Helper()
	to, err := ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	s := &Stream{Store: w.st, Target: to, Shared: shared, Logger: slog.New(slog.DiscardHandler)}
	go func() { s.Run(ctx); close(done) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(what)
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i + 1
	}
	return out
}

var form = regexp.MustCompile(`^<109>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ signpath \d+ Test\.Entry \[meta sequenceId="\d+"\] ` + "\ufeff" + `(\{.*\})$`)

// What a receiver gets is the log itself, over every transport; a restart
// neither leaves out nor repeats.
func TestTransports(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(t *testing.T) (*receiver, string)
	}{
		{"tcp", func(t *testing.T) (*receiver, string) {
			r := tcpReceiver(t, "127.0.0.1:0")
			return r, "tcp://" + r.addr
		}},
		{"udp", func(t *testing.T) (*receiver, string) {
			r := datagrams(t, "udp", "127.0.0.1:0")
			return r, "udp://" + r.addr
		}},
		{"unix", func(t *testing.T) (*receiver, string) {
			path := filepath.Join(t.TempDir(), "log")
			return datagrams(t, "unixgram", path), "unix://" + path
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.record(t, 20, `{"text":"a\nb"}`)
			r, target := c.open(t)
			stop := w.start(t, target, false)
			eventually(t, "the old entries did not come", func() bool { return len(r.sequences(t)) == 20 })
			w.record(t, 5, "")
			eventually(t, "the new entries did not come", func() bool { return len(r.sequences(t)) == 25 })
			stop()
			w.record(t, 5, "")
			stop = w.start(t, target, false)
			eventually(t, "the entries of the pause did not come", func() bool { return len(r.sequences(t)) >= 30 })
			stop()
			if got := r.sequences(t); !slices.Equal(got, upTo(30)) {
				t.Errorf("%v", got)
			}
			rows, err := w.st.AuditRows(t.Context(), 0, 100, store.AuditFilter{})
			if err != nil {
				t.Fatal(err)
			}
			for i, l := range r.lines {
				if m := form.FindStringSubmatch(l); m == nil || m[1] != string(rows[i].Leaf) {
					t.Errorf("%q", l)
				}
			}
			if _, err := audit.Verify(func(yield func([]byte, error) bool) {
				for _, l := range r.lines {
					if !yield([]byte(form.FindStringSubmatch(l)[1]), nil) {
						return
					}
				}
			}, audit.VerifyOptions{}); err != nil {
				t.Errorf("what was received is not the log: %v", err)
			}
		})
	}
}

// A receiver that is away, or goes away: signing goes on, and everything comes
// when it is back.
func TestReceiverAway(t *testing.T) {
	w := newWorld(t)
	r := tcpReceiver(t, "127.0.0.1:0")
	r.close()
	w.start(t, "tcp://"+r.addr, false)
	w.record(t, 10, "")
	time.Sleep(100 * time.Millisecond)
	r = tcpReceiver(t, r.addr)
	eventually(t, "nothing came after the receiver began", func() bool { return len(r.sequences(t)) == 10 })
	r.close()
	start := time.Now()
	w.record(t, 10, "")
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("the log waited for the receiver: %v", d)
	}
	again := tcpReceiver(t, r.addr)
	eventually(t, "nothing came after the receiver was back", func() bool {
		got := append(r.sequences(t), again.sequences(t)...)
		slices.Sort(got)
		return slices.Equal(slices.Compact(got), upTo(20))
	})
}

// A process that was killed leaves a mark of some time ago: its successor
// repeats, and leaves out nothing. A live one is waited for, and takes over.
func TestReplicas(t *testing.T) {
	w := newWorld(t)
	r := tcpReceiver(t, "127.0.0.1:0")
	stop := w.start(t, "tcp://"+r.addr, true)
	w.record(t, 3, "")
	eventually(t, "nothing came", func() bool { return len(r.sequences(t)) == 3 })
	w.start(t, "tcp://"+r.addr, true)
	w.record(t, 3, "")
	eventually(t, "nothing came", func() bool { return len(r.sequences(t)) == 6 })
	time.Sleep(2 * pollEvery)
	stop()
	w.record(t, 3, "")
	eventually(t, "the second one did not take over", func() bool { return len(r.sequences(t)) >= 9 })
	if got := r.sequences(t); !slices.Equal(got, upTo(9)) {
		t.Errorf("%v", got)
	}
}

func TestKilled(t *testing.T) {
	w := newWorld(t)
	r := tcpReceiver(t, "127.0.0.1:0")
	to, err := ParseTarget("tcp://" + r.addr)
	if err != nil {
		t.Fatal(err)
	}
	w.record(t, 4, "")
	s := &Stream{Store: w.st, Target: to}
	s.prepare()
	if _, err := s.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.conn.close() // and no finish
	w.record(t, 4, "")
	w.start(t, "tcp://"+r.addr, false)
	eventually(t, "entries are missing", func() bool {
		got := r.sequences(t)
		slices.Sort(got)
		return slices.Equal(slices.Compact(got), upTo(8))
	})
}

// A database that fails is not hidden and not the end.
func TestStoreFails(t *testing.T) {
	w := newWorld(t)
	r := tcpReceiver(t, "127.0.0.1:0")
	to, err := ParseTarget("tcp://" + r.addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &Stream{Store: broken{w.st}, Target: to}
	s.prepare()
	if _, err := s.round(t.Context()); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

type broken struct{ store.Store }

var errBroken = errors.New("broken")

func (broken) AuditRows(context.Context, uint64, int, store.AuditFilter) ([]store.AuditRow, error) {
	return nil, errBroken
}

func TestMessage(t *testing.T) {
	s := sender{"host name", 7}
	at := time.Date(2027, 1, 31, 12, 0, 0, 5e6, time.UTC).UnixMilli()
	for _, c := range []struct {
		row   store.AuditRow
		limit int
		want  string
	}{
		{store.AuditRow{Seq: 1, Type: "HashSigning.Intent", TimeMillis: at, Leaf: []byte(`{}`)}, 0, "<110>1 2027-01-31T12:00:00.005Z host_name signpath 7 HashSigning.Intent [meta sequenceId=\"1\"] \ufeff{}"},
		{store.AuditRow{Seq: 2147483648, Type: "HashSigning.Refused", TimeMillis: at, Leaf: []byte(`{}`)}, 0, "<108>1 2027-01-31T12:00:00.005Z host_name signpath 7 HashSigning.Refused [meta sequenceId=\"1\"] \ufeff{}"},
		{store.AuditRow{Seq: 2, Type: "A b]\"é.ABCDEFGHIJKLMNOPQRSTUVWXYZ", TimeMillis: at, Leaf: []byte(`{}`)}, 0, "<109>1 2027-01-31T12:00:00.005Z host_name signpath 7 A_b]__.ABCDEFGHIJKLMNOPQRSTUVWXY [meta sequenceId=\"2\"] \ufeff{}"},
		{store.AuditRow{Seq: 3, Type: "A.B", TimeMillis: at, Leaf: []byte(strings.Repeat("x", 500))}, 400, fmt.Sprintf("<109>1 2027-01-31T12:00:00.005Z host_name signpath 7 A.B [meta sequenceId=\"3\"] \ufeff{\"seq\":3,\"type\":\"A.B\",\"tooLong\":500,\"leafHash\":\"%x\"}", audit.LeafHash([]byte(strings.Repeat("x", 500))))},
	} {
		if got := string(s.message(c.row, c.limit)); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}
