package settings

import (
	"cmp"
	"errors"
	"net/url"

	"golang.org/x/net/http/httpproxy"

	"signpath/internal/secret"
)

// proxyRules are the two sources of a proxy. They do not exclude each other:
// loopback addresses are reached through an explicit proxy only.
type proxyRules struct {
	explicit *url.URL // HttpProxy of the tool or of the file
	http     *url.URL // environment: http_proxy
	// strongest tells that explicit comes from the tool, which wins over http_proxy.
	strongest bool
	fileValue value // HttpProxy of the file when http_proxy is set too
}

// find remembers the file's HttpProxy beside http_proxy.
func (p *proxyRules) find(l *loader, s *setting) {
	if v, ok := l.file["httpproxy"]; ok {
		if w, _ := l.find(s, s.json, s.env); w.from == fromEnvironment {
			p.fileValue = v
		}
	}
}

func (d *draft) applyProxy(v value) error {
	u, err := parseProxy(v.text)
	if err != nil {
		return err
	}
	d.hidePassword(u)
	if v.from == fromEnvironment {
		d.proxy.http = u
		return nil
	}
	d.proxy.explicit, d.proxy.strongest = u, v.from == fromTool
	return nil
}

func (d *draft) hidePassword(u *url.URL) {
	d.proxyShown = append(d.proxyShown, u.Scheme+"://"+u.Host)
	if u.User != nil {
		if password, ok := u.User.Password(); ok && password != "" {
			d.proxySecrets = append(d.proxySecrets, secret.New(password))
		}
	}
}

// finishProxy makes the Proxy function. Rules, first that fits:
//
//	HttpProxy of the tool        every host
//	http_proxy, https_proxy      as curl reads them; never for loopback or no_proxy hosts
//	HttpProxy of the file        every host
//	Windows: Internet Options    as WinINet reads them
//
// where https_proxy alone does not outdo the file's HttpProxy, and http_proxy
// serves https addresses too unless https_proxy is set: it is the documented
// variable of HttpProxy.
func (l *loader) finishProxy() {
	if v := l.proxy.fileValue; v.text != "" {
		if v.kind != kindString {
			l.problem(v.source, nameProxy, "the value must be text, not "+kindNames[v.kind])
		} else if err := l.applyProxy(v); err != nil {
			l.problem(v.source, nameProxy, err.Error())
		}
	}
	explicit := l.proxy.explicit
	if explicit != nil && (l.proxy.strongest || l.proxy.http == nil) {
		l.Proxy = func(*url.URL) (*url.URL, error) { return explicit, nil }
		return
	}
	httpsName := "https_proxy"
	if l.env.get(httpsName) == "" {
		httpsName = "HTTPS_PROXY"
	}
	https := l.proxy.http
	if text := l.env.get(httpsName); text != "" {
		u, err := parseProxy(text)
		if err != nil {
			l.problem("environment variable "+httpsName, nameProxy, err.Error())
		} else {
			l.hidePassword(u)
			https = u
			if l.sources[nameProxy] == "" {
				l.sources[nameProxy] = "environment variable " + httpsName
			}
		}
	}
	if https == nil && l.proxy.http == nil {
		l.systemProxy()
		return
	}
	l.Proxy = environmentProxy(l.proxy.http, https, cmp.Or(l.env.get("no_proxy"), l.env.get("NO_PROXY")), explicit)
}

// systemProxy takes what the system says when nothing else names a proxy. A broken
// value above does not count as "nothing": the user meant another way.
func (l *loader) systemProxy() {
	if l.set[nameProxy] || l.sources[nameProxy] != "" {
		return
	}
	o := l.system()
	if l.Proxy = o.decide(); l.Proxy != nil {
		l.proxyShown = append(l.proxyShown, o.shown())
		l.sources[nameProxy] = o.place
	}
}

// environmentProxy follows curl's rules for no_proxy. Loopback goes through
// explicit, if there is one.
func environmentProxy(http, https *url.URL, noProxy string, explicit *url.URL) func(*url.URL) (*url.URL, error) {
	config := httpproxy.Config{NoProxy: noProxy}
	if http != nil {
		config.HTTPProxy = http.String()
	}
	if https != nil {
		config.HTTPSProxy = https.String()
	}
	decide := config.ProxyFunc()
	return func(u *url.URL) (*url.URL, error) {
		if u == nil {
			return nil, errors.New("no address was given")
		}
		if loopback(u.Hostname()) {
			return explicit, nil
		}
		return decide(u)
	}
}
