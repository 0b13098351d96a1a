package remote

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"signpath/internal/testkit/faultproxy"
)

// "in sum 10 minutes": the curve with its documented first delay.
func TestBackoffCurve(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const runs = 20000
	sums := make([]float64, runs)
	var means [10]float64
	firsts := make([]float64, runs)
	for i := range runs {
		b := backoff{first: 1160 * time.Millisecond, rand: r.Float64}
		for j := range 10 {
			d := b.next().Seconds()
			if j == 0 {
				firsts[i] = d
			}
			means[j] += d / runs
			sums[i] += d
		}
	}
	slices.Sort(sums)
	slices.Sort(firsts)
	if m := sums[runs/2]; m < 590 || m > 620 {
		t.Errorf("the median sum is %.0f s", m)
	}
	if mean := func() (s float64) {
		for _, v := range means {
			s += v
		}
		return
	}(); mean < 608 || mean > 618 {
		t.Errorf("the mean sum is %.0f s", mean)
	}
	if sums[0] < 423 || sums[runs-1] > 850 {
		t.Errorf("the sums lie between %.0f and %.0f s", sums[0], sums[runs-1])
	}
	for i, want := range []float64{1.0, 1.3, 2.4, 4.8, 9.6, 19, 38, 76, 154, 303} {
		if means[i] < want*0.94 || means[i] > want*1.06 {
			t.Errorf("delay %d is %.2f s in the mean, want %.1f", i, means[i], want)
		}
	}
	b := backoff{first: time.Second, rand: r.Float64}
	for range 3000 { // beyond every floating-point number
		if d := b.next(); d < 0 || d > maxDelay {
			t.Fatalf("delay %s", d)
		}
	}
}

func failing(t *testing.T, status int, header http.Header) (*setup, *int) {
	n := 0
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "the database sleeps")
	}), &n
}

func sum(d []time.Duration) (s time.Duration) {
	for _, x := range d {
		s += x
	}
	return s
}

func TestRetriesEndWithTheTotal(t *testing.T) {
	s, n := failing(t, 503, nil)
	s.settings.Timeouts.Total = 500 * time.Second
	_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
	e := asError(t, err)
	// With rand = 0.5 the sum of ten delays is 600 s, that of nine 300 s.
	if *n != 10 || sum(s.clock.delays) > 310*time.Second || sum(s.clock.delays) < 290*time.Second {
		t.Errorf("%d attempts, %s", *n, sum(s.clock.delays))
	}
	if e.Class != Transient || e.Status != 503 || !strings.Contains(e.Error(), "gave up after 10 attempts") || !strings.Contains(e.Error(), "the database sleeps") {
		t.Errorf("%v", err)
	}
	if text := s.log.Text(); !strings.Contains(text, "503") || !strings.Contains(text, "the database sleeps") {
		t.Errorf("the warnings lack status or body: %s", text)
	}
}

func TestRetryBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		count, want int
		total       time.Duration
		attempt     Attempt
	}{
		"5.x count":           {10, 11, 0, Attempt{}},
		"5.x count and total": {10, 10, 500 * time.Second, Attempt{}},
		"no retries":          {0, 1, 0, Attempt{}},
		"once":                {-1, 1, 600 * time.Second, Attempt{Once: true}},
		"limit":               {-1, 5, 600 * time.Second, Attempt{Limit: 10 * time.Second}},
		"limit beyond total":  {-1, 5, 10 * time.Second, Attempt{Limit: time.Hour}},
		"no bound at all":     {-1, 11, 0, Attempt{}},
	} {
		t.Run(name, func(t *testing.T) {
			s, n := failing(t, 500, nil)
			s.settings.Timeouts.RetryCount, s.settings.Timeouts.Total = tc.count, tc.total
			_, err := s.client().Policies(context.Background(), Filter{}, tc.attempt)
			if e := asError(t, err); e.Class != Service || *n != tc.want {
				t.Errorf("%d attempts, want %d (%v)", *n, tc.want, s.clock.delays)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	date := newClock().now.Add(90 * time.Second).UTC().Format(http.TimeFormat)
	for name, tc := range map[string]struct {
		status int
		value  string
		first  time.Duration // 0: gives up at once
	}{
		"seconds":    {429, "30", 30 * time.Second},
		"408":        {408, "5", 5 * time.Second},
		"date":       {503, date, 90 * time.Second},
		"too late":   {429, "601", 0},
		"for ever":   {503, "99999999999999999", 0},
		"less":       {503, "0", 1041 * time.Millisecond},
		"negative":   {503, "-5", 1041 * time.Millisecond},
		"nonsense":   {503, "soon", 1041 * time.Millisecond},
		"a past day": {503, "Mon, 02 Jan 2006 15:04:05 GMT", 1041 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			s, n := failing(t, tc.status, http.Header{"Retry-After": {tc.value}})
			s.settings.Timeouts.RetryCount = 1
			_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
			asError(t, err)
			if tc.first == 0 {
				if *n != 1 {
					t.Errorf("%d attempts, %v", *n, s.clock.delays)
				}
				return
			}
			if len(s.clock.delays) != 1 || (s.clock.delays[0]-tc.first).Abs() > 2*time.Millisecond {
				t.Errorf("waited %v, want %s", s.clock.delays, tc.first)
			}
		})
	}
}

// An attempt that hangs is cut at the end of the total, not only between retries.
func TestAttemptIsCutAtTheTotal(t *testing.T) {
	s, p := throughHTTP(t, ok)
	s.clock = nil
	s.settings.Timeouts.Total = 400 * time.Millisecond
	if err := p.Set(faultproxy.Fault{Kind: faultproxy.Stall}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err := s.client().Policies(context.Background(), Filter{}, Attempt{})
	if e := asError(t, err); e.Class != Transient || time.Since(start) > 2*time.Second || !strings.Contains(e.Error(), "within 400ms") {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

func TestCancel(t *testing.T) {
	for name, f := range map[string]faultproxy.Fault{
		"while waiting for an answer": {Kind: faultproxy.Stall},
		"in mid-answer":               {Kind: faultproxy.Stall, After: 125},
		"between retries":             {Kind: faultproxy.Status, Status: 503, Header: http.Header{"Retry-After": {strconv.Itoa(300)}}},
		"in the connect":              {Kind: faultproxy.Refuse},
	} {
		for _, byClose := range []bool{false, true} {
			t.Run(name+" close "+strconv.FormatBool(byClose), func(t *testing.T) {
				s, p := throughHTTP(t, ok)
				s.clock = nil
				s.settings.Timeouts.FirstRetryDelay = time.Minute
				if err := p.Set(f); err != nil {
					t.Fatal(err)
				}
				c := s.client()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				time.AfterFunc(200*time.Millisecond, func() {
					if byClose {
						c.Close()
					} else {
						cancel()
					}
				})
				start := time.Now()
				_, err := c.Policies(ctx, Filter{}, Attempt{})
				if e := asError(t, err); e.Class != Canceled || time.Since(start) > 1500*time.Millisecond {
					t.Errorf("%v after %s: %v", e.Class, time.Since(start), err)
				}
				for i := 0; p.Open() > 0 && (byClose || f.Kind != faultproxy.Status); i++ { // answered connections are kept
					if i > 100 {
						t.Fatal("the request was not hung up")
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
	}
	t.Run("after Close", func(t *testing.T) {
		c := serve(t, ok).client()
		c.Close()
		c.Close()
		_, err := c.Policies(context.Background(), Filter{}, Attempt{})
		if e := asError(t, err); e.Class != Canceled {
			t.Errorf("%v", err)
		}
	})
	t.Run("before", func(t *testing.T) {
		s, n := failing(t, 500, nil)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := s.client().Policies(ctx, Filter{}, Attempt{})
		if e := asError(t, err); e.Class != Canceled || *n != 0 {
			t.Errorf("%v", err)
		}
	})
}

func TestSleepOnTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := sleep(context.Background(), 300*time.Second); err != nil || time.Since(start) != 300*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start = time.Now()
		if err := sleep(ctx, time.Hour); err == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

// The warning of a retry names what there is: no status without an answer, no
// body without one.
func TestRetryWarnings(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	empty := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	full, _ := failing(t, 503, nil)
	for name, tc := range map[string]struct {
		setup        *setup
		status, body bool
	}{
		"refused":    {against(t, "https://"+closed.Addr().String(), nil), false, false},
		"empty body": {empty, true, false},
		"body":       {full, true, true},
	} {
		tc.setup.settings.Timeouts.RetryCount = 1
		_, err := tc.setup.client().Policies(context.Background(), Filter{}, Attempt{})
		asError(t, err)
		var line string
		for l := range strings.Lines(tc.setup.log.Text()) {
			if strings.HasPrefix(l, "WARNING the request failed") {
				line = l
			}
		}
		// The names stand behind the delay and the cause.
		if line == "" || strings.Contains(line, " status ") != tc.status || strings.Contains(line, " body ") != tc.body || !strings.Contains(line, "cause") {
			t.Errorf("%s: %s", name, line)
		}
	}
}
