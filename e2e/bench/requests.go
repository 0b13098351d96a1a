package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"time"
)

// startUp is the time from starting the service, whose keys exist, to the first signature.
func (b *bench) startUp() error {
	var v []float64
	for range *rounds {
		b.service.stop()
		begin := time.Now()
		if _, err := b.service.start(); err != nil {
			return err
		}
		c, err := b.service.client()
		if err != nil {
			return err
		}
		if err := b.service.sign(c, "p256"); err != nil {
			return err
		}
		v = append(v, float64(time.Since(begin).Microseconds())/1000)
	}
	figure("start of the service to its first signature (aim: 1000 ms)", median(v), "ms")
	return nil
}

// requests counts what one pkcs11-tool --sign asks of the service.
func (b *bench) requests() error {
	requests, connections, err := b.counted(func(vars []string) error {
		_, err := b.signOnce(vars, module(), "CONFIG", "p256")
		return err
	})
	if err != nil {
		return err
	}
	figure("requests of one pkcs11-tool --sign (aim: 2)", requests, "")
	figure("connections of one pkcs11-tool --sign (aim: 1)", connections, "")
	return nil
}

// counted runs something against a door before the service that counts.
func (b *bench) counted(use func(vars []string) error) (requests, connections float64, err error) {
	target, err := url.Parse(b.service.vars["SIGNPATH_API_URL"])
	if err != nil {
		return 0, 0, err
	}
	c, err := b.service.client()
	if err != nil {
		return 0, 0, err
	}
	var asked, opened atomic.Int32
	door := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		(&httputil.ReverseProxy{Transport: c.Transport, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) }}).ServeHTTP(w, r)
	}))
	door.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	door.Start()
	defer door.Close()
	err = use(b.service.env("SIGNPATH_API_URL=" + door.URL + target.Path))
	return float64(asked.Load()), float64(opened.Load()), err
}

// delay is what the relay adds each way; two of them are a round trip.
const delay = 25 * time.Millisecond

// roundTrips counts how often one pkcs11-tool --sign waits for the network: the
// time that a long way adds, in round trips of that way.
func (b *bench) roundTrips() error {
	target, err := url.Parse(b.service.vars["SIGNPATH_API_URL"])
	if err != nil {
		return err
	}
	r, err := newRelay(target.Host, delay)
	if err != nil {
		return err
	}
	defer r.close()
	_, port, err := net.SplitHostPort(r.address())
	if err != nil {
		return err
	}
	far := *target
	far.Host = net.JoinHostPort(target.Hostname(), port) // the certificate's name
	for _, c := range []struct {
		what     string
		settings []string
	}{
		{"round trips of one pkcs11-tool --sign (aim: at most 4.2)", nil},
		{"round trips of one pkcs11-tool --sign, list kept on disk (aim: at most 3.2)", b.keeping()},
	} {
		var added []float64
		for range *rounds * 3 {
			near, err := b.signOnce(b.service.env(c.settings...), module(), "CONFIG", "p256")
			if err != nil {
				return err
			}
			t, err := b.signOnce(b.service.env(append([]string{"SIGNPATH_API_URL=" + far.String()}, c.settings...)...), module(), "CONFIG", "p256")
			if err != nil {
				return err
			}
			added = append(added, (t-near)*float64(time.Millisecond)/float64(2*delay))
		}
		// The first of both keeps the list; the median does not see it.
		figure(c.what, median(added), "")
	}
	return nil
}

// keeping are settings with which a process finds the list of the one before it.
func (b *bench) keeping() []string {
	return []string{"SIGNPATH_SIGNING_POLICY_CACHE_IN_SECONDS=600", "XDG_CACHE_HOME=" + filepath.Join(b.dir, "cache")}
}
