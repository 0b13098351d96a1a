package doctor

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"time"

	"signpath/internal/provider/remote"
)

// The checks of the way to the service and of the token.

// notTried says why a leg of the way was not tried, nil when it was.
func notTried(f *Facts, step func(*remote.Path) remote.Step) []Finding {
	switch {
	case f.Path == nil:
		return skipped("a value above must be mended first")
	case f.Canceled:
		return skipped("it was ended before")
	case f.Path.Setup.Err != nil:
		return skipped("the settings above must be mended first")
	case !step(f.Path).Done:
		return skipped("the way ends before")
	}
	return nil
}

func checkProxy(f *Facts) []Finding {
	if why := notTried(f, func(p *remote.Path) remote.Step { return p.Setup }); why != nil {
		if f.Path != nil && f.Path.Setup.Err != nil && f.ClientErr == nil && (f.Settings.TrustedCAFile == "" || f.CAFile != nil) {
			return remoteFinding(f.Path.Setup.Err)
		}
		return why
	}
	p := f.Path
	switch {
	case p.Proxy == "":
		return ok("none is used for %s", p.Service)
	case p.Reach.Done && p.Reach.Err != nil:
		return remoteFinding(p.Reach.Err)
	case p.Tunnel.Done && p.Tunnel.Err != nil:
		return remoteFinding(p.Tunnel.Err)
	case p.Names.Err != nil:
		return skipped("%s: its name does not resolve", p.Proxy)
	}
	from := f.Settings.Source("HttpProxy")
	if from != "" {
		from = " (" + from + ")"
	}
	return ok("%s leads to %s%s", p.Proxy, p.Service, from)
}

func checkDNS(f *Facts) []Finding {
	if why := notTried(f, func(p *remote.Path) remote.Step { return p.Names }); why != nil {
		return why
	}
	host := (&url.URL{Host: cmp.Or(f.Path.Proxy, f.Path.Service)}).Hostname()
	if err := f.Path.Names.Err; err != nil {
		found := remoteFinding(err)
		if f.Path.Proxy != "" {
			found[0].Cure = "Check the proxy's name: HttpProxy (http_proxy, https_proxy)."
		}
		return found
	}
	if slices.Contains(f.Path.Addresses, host) {
		return ok("%s is an address, no name", host)
	}
	return ok("%s is %s", host, listed(f.Path.Addresses))
}

func checkTCP(f *Facts) []Finding {
	if why := notTried(f, func(p *remote.Path) remote.Step { return p.Reach }); why != nil {
		return why
	}
	p := f.Path
	switch {
	case p.Proxy != "" && !p.Reach.OK():
		return skipped("the proxy cannot be reached")
	case p.Proxy != "" && p.Tunnel.Done && !p.Tunnel.OK():
		return skipped("the proxy does not lead there")
	case p.Reach.Err != nil:
		return remoteFinding(p.Reach.Err)
	}
	return ok("%s answers in %s", p.Service, took(p.Reach))
}

func checkTLS(f *Facts) []Finding {
	if why := notTried(f, func(p *remote.Path) remote.Step { return p.Reach }); why != nil {
		return why
	}
	p := f.Path
	switch {
	case f.Settings.APIURL.Scheme == "http":
		return skipped("the address is http, to this machine itself")
	case !p.TLS.Done:
		return skipped("the way ends before")
	case p.TLS.Err != nil:
		out := remoteFinding(p.TLS.Err)
		if c := p.Certificate; c != nil {
			out[0].Text += fmt.Sprintf("; the certificate is for %s, made by %q, valid from %s to %s", names(c), issuer(c), day(c.NotBefore), day(c.NotAfter))
		}
		return out
	}
	root := "the system's certificates"
	if p.FromFile {
		root = f.Settings.TrustedCAFile
	}
	if len(p.Chain) > 0 {
		root = fmt.Sprintf("%q in %s", remote.Subject(p.Chain[len(p.Chain)-1]), root)
	}
	return ok("%s, certificate for %s, trusted by %s", p.TLSVersion, names(p.Certificate), root)
}

func checkTLSExpiry(f *Facts) []Finding {
	if f.Path == nil || !f.Path.TLS.OK() {
		return skipped("there is no TLS connection")
	}
	for i, c := range f.Path.Chain {
		if left := c.NotAfter.Sub(f.Now); left < soon {
			who := "the service's certificate"
			if i > 0 {
				who = fmt.Sprintf("%q above the service's certificate", remote.Subject(c))
			}
			return one(Warning, "Tell the administrator of the service; afterwards no connection will be trusted.", "%s ends on %s (%s)", who, day(c.NotAfter), days(left))
		}
	}
	return ok("until %s", day(f.Path.Certificate.NotAfter))
}

func checkService(f *Facts) []Finding {
	if why := notTried(f, func(p *remote.Path) remote.Step { return p.Info }); why != nil {
		return why
	}
	p := f.Path
	switch {
	case p.Info.Err != nil:
		return remoteFinding(p.Info.Err)
	case p.Version != "":
		return ok("version %s, answered in %s", p.Version, took(p.Info))
	case p.Status == 404:
		return one(Note, "If the list of policies is not found either, ApiUrl is not the address of the API; it usually ends in /Api.", "it does not tell its version (HTTP status 404)")
	}
	return ok("it does not tell its version (HTTP status %d)", p.Status)
}

func checkClock(f *Facts) []Finding {
	p := f.Path
	if p == nil || !p.Info.Done || !p.HasSkew {
		return skipped("the service told no time")
	}
	if s := p.Skew; s.Abs() > maxSkew {
		which := "behind"
		if s < 0 {
			which = "ahead of"
		}
		return one(Warning, "Set this machine's clock (or the service's): certificates and timestamps depend on it.", "this machine's clock is %s %s the service's", period(s.Abs().Round(time.Second)), which)
	}
	return ok("they differ by less than a minute")
}

func checkToken(f *Facts) []Finding {
	switch {
	case !f.Asked:
		return skipped("the service was not asked")
	case f.KeysErr == nil && f.User != "":
		return ok("it belongs to %s", f.User)
	case f.KeysErr == nil:
		return ok("accepted; the service does not tell whose it is")
	case f.Canceled:
		return skipped("it was ended before")
	}
	return remoteFinding(f.KeysErr)
}
