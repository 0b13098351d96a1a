package settings

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// internetOptions are the proxy settings that Windows keeps for a user or for the
// whole machine (Internet Options, Settings > Proxy), as WinINet uses them. The
// zero value is a machine without any.
type internetOptions struct {
	place    string // where they stand, for people
	enable   bool   // ProxyEnable: server and override count
	server   string // ProxyServer: host:port, or http=host:port;https=host:port;…
	override string // ProxyOverride: hosts without proxy, separated by ";"
	script   string // AutoConfigURL: address of a PAC file
	detect   bool   // "automatically detect settings" (WPAD)

	// automatic asks Windows what script and detection say of an address; the
	// answer is a list such as "proxy:3128;other:8080", "" for a direct way.
	automatic func(target *url.URL, script string, detect bool) (string, error)
}

// Bounds of the automatic configuration, which fetches a script from the network.
const (
	automaticWait = 5 * time.Second // a proxy that is not known by then is none
	automaticKeep = 5 * time.Minute // an answer counts for so long
	automaticMax  = 64              // answers that are kept
)

// shown describes the options for people, "" when they name no proxy.
func (o internetOptions) shown() string {
	var all []string
	if o.detect {
		all = append(all, "automatic detection")
	}
	if o.script != "" {
		all = append(all, "script "+withoutUser(o.script))
	}
	if o.enable && o.server != "" {
		all = append(all, withoutUser(o.server))
	}
	return strings.Join(all, ", then ")
}

// withoutUser takes user and password out of an address or a list of them.
func withoutUser(text string) string {
	parts := strings.FieldsFunc(text, isListBreak)
	for i, p := range parts {
		at := strings.LastIndexByte(p, '@')
		if at < 0 {
			continue
		}
		begin := strings.LastIndexByte(p[:at], '=') + 1
		if n := strings.LastIndex(p[:at], "://"); n >= 0 {
			begin = n + len("://")
		}
		parts[i] = p[:begin] + p[at+1:]
	}
	return strings.Join(parts, ";")
}

// decide makes the Proxy function; nil when the options name no proxy. In the order
// of WinINet: detection and script first, then the named proxy. Hosts of
// ProxyOverride and the machine itself are reached without one.
func (o internetOptions) decide() func(*url.URL) (*url.URL, error) {
	var servers map[string]string
	if o.enable {
		servers = serverList(o.server)
	}
	automatic := (o.script != "" || o.detect) && o.automatic != nil
	if len(servers) == 0 && !automatic {
		return nil
	}
	bypass := bypassList(o.override)
	remembered := &answers{ask: o.automatic, wait: automaticWait, now: time.Now}
	return func(u *url.URL) (*url.URL, error) {
		if u == nil {
			return nil, errors.New("no address was given")
		}
		if bypass.itself(u.Hostname()) {
			return nil, nil
		}
		if automatic {
			if list, known := remembered.get(u, o.script, o.detect); known {
				return firstOf(list)
			}
		}
		if bypass.matches(u) {
			return nil, nil
		}
		text := servers[u.Scheme]
		if text == "" {
			text = servers[""]
		}
		if text == "" {
			return nil, nil
		}
		return internetProxy(text)
	}
}

// internetProxy reads one proxy as Windows writes it; its port is 80 when none is named.
func internetProxy(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := parseProxy(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the proxy in the Internet Options of Windows cannot be used; correct it there, or set HttpProxy (http_proxy)")
	}
	return u, nil
}

// firstOf takes the first proxy of WinHTTP's answer: entries separated by ";" or
// white space, each "host:port" or "scheme=host:port"; empty for a direct way.
func firstOf(list string) (*url.URL, error) {
	entries := strings.FieldsFunc(list, isListBreak)
	if len(entries) == 0 {
		return nil, nil
	}
	entry := entries[0]
	if _, rest, ok := strings.Cut(entry, "="); ok {
		entry = rest
	}
	if strings.EqualFold(entry, "DIRECT") {
		return nil, nil
	}
	return internetProxy(entry)
}

func isListBreak(r rune) bool { return r == ';' || r == ' ' || r == '\t' || r == '\r' || r == '\n' }

// serverList reads ProxyServer: proxies by scheme, "" for all. Those of other
// schemes (ftp, socks) are left out, as WinHTTP does.
func serverList(text string) map[string]string {
	servers := map[string]string{}
	for _, entry := range strings.FieldsFunc(text, isListBreak) {
		scheme, rest, named := strings.Cut(entry, "=")
		if !named {
			scheme, rest = "", entry
		}
		scheme = strings.ToLower(strings.TrimSpace(scheme))
		switch scheme {
		case "", "http", "https":
			if rest != "" && servers[scheme] == "" {
				servers[scheme] = rest
			}
		}
	}
	return servers
}

// bypassRules is ProxyOverride.
type bypassRules struct {
	local    bool // <local>: names without a point
	loopback bool // <-loopback>: the machine itself goes through the proxy too
	patterns []bypassPattern
}

type bypassPattern struct{ scheme, host, port string } // "" for any; host with stars

func bypassList(text string) (b bypassRules) {
	for _, entry := range strings.FieldsFunc(strings.ToLower(text), isListBreak) {
		switch entry {
		case "<local>":
			b.local = true
			continue
		case "<-loopback>":
			b.loopback = true
			continue
		}
		var p bypassPattern
		if scheme, rest, ok := strings.Cut(entry, "://"); ok {
			p.scheme, entry = scheme, rest
		}
		entry = strings.TrimRight(entry, "/")
		p.host = entry
		if end := strings.LastIndexByte(entry, ']'); strings.HasPrefix(entry, "[") && end > 0 {
			p.host = entry[1:end]
			p.port = strings.TrimPrefix(entry[end+1:], ":")
		} else if host, port, ok := strings.Cut(entry, ":"); ok && !strings.Contains(port, ":") {
			p.host, p.port = host, port
		}
		if p.host != "" {
			b.patterns = append(b.patterns, p)
		}
	}
	return b
}

// itself tells whether a host is this machine, which needs no proxy unless <-loopback> asks for one.
func (b bypassRules) itself(host string) bool {
	return !b.loopback && (loopback(host) || strings.HasSuffix(strings.ToLower(host), ".localhost"))
}

func (b bypassRules) matches(u *url.URL) bool {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if _, err := netip.ParseAddr(host); b.local && err != nil && !strings.Contains(host, ".") {
		return !loopback(host) || !b.loopback
	}
	for _, p := range b.patterns {
		if (p.scheme == "" || p.scheme == u.Scheme) && (p.port == "" || p.port == port) && starMatch(p.host, host) {
			return true
		}
	}
	return false
}

// starMatch compares a text with a pattern in which "*" stands for any text.
func starMatch(pattern, text string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, part)
		}
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text, rest = text[at+len(part):], next
	}
}

// answers keeps what the automatic configuration said, per scheme, host and port,
// failures too: a script server that is away must not cost every request its wait.
type answers struct {
	ask  func(*url.URL, string, bool) (string, error)
	wait time.Duration
	now  func() time.Time

	mu   sync.Mutex
	kept map[string]answer
}

type answer struct {
	list  string
	known bool
	until time.Time
}

// get asks, and waits for a limited time. known is false when there is no answer.
func (a *answers) get(u *url.URL, script string, detect bool) (list string, known bool) {
	where := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"} // the rest of the address is nobody's business
	a.mu.Lock()
	defer a.mu.Unlock() // others wait for the same answer
	now := a.now()
	if k, ok := a.kept[where.String()]; ok && now.Before(k.until) {
		return k.list, k.known
	}
	type said struct {
		list string
		err  error
	}
	heard := make(chan said, 1)
	go func() {
		list, err := a.ask(where, script, detect)
		heard <- said{list, err}
	}()
	timer := time.NewTimer(a.wait)
	defer timer.Stop()
	found := answer{until: a.now().Add(automaticKeep)}
	select {
	case s := <-heard:
		found.list, found.known = s.list, s.err == nil
	case <-timer.C:
	}
	if a.kept == nil || len(a.kept) >= automaticMax {
		a.kept = map[string]answer{}
	}
	a.kept[where.String()] = found
	return found.list, found.known
}
