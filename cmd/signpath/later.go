package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"signpath/internal/buildinfo"
	"signpath/internal/service/egress"
	"signpath/internal/service/httpapi"
	"signpath/internal/service/jobs"
	"signpath/internal/service/limits"
	"signpath/internal/service/requests"
	"signpath/internal/service/upkeep"
	"signpath/internal/service/webhooks"
)

// laterFlags are the flags of a server about asynchronous requests, webhooks
// and how often it may be used.
type laterFlags struct {
	RateLimit        float64  `help:"Requests per second that one API token may make in the long run, ten times as many at once; 0: no limit." default:"0" placeholder:"N" env:"SIGNPATH_SERVER_RATE_LIMIT"`
	FailureLimit     float64  `help:"Requests without a valid token per second that one address may make in the long run, ten times as many at once; 0: no limit." default:"10" placeholder:"N" env:"SIGNPATH_SERVER_FAILURE_LIMIT"`
	ArtifactHosts    []string `help:"Hosts that artifact retrieval links may name, with the port unless it is 443. Default: none." placeholder:"HOST" env:"SIGNPATH_SERVER_ARTIFACT_HOSTS"`
	AllowPrivate     []string `help:"Networks (CIDR) that webhooks and artifact links may reach though they are not public." placeholder:"NET" env:"SIGNPATH_SERVER_ALLOW_PRIVATE"`
	InsecureWebhooks bool     `help:"Let webhooks go to this machine, and by plain HTTP. For development only." env:"SIGNPATH_SERVER_INSECURE_WEBHOOKS"`
}

// burstSeconds is how many seconds' worth of requests may come at once.
const burstSeconds = 10

// check reads the flags.
func (f *laterFlags) check() (egress.Config, error) {
	c := egress.Config{InsecureLoopback: f.InsecureWebhooks}
	if f.RateLimit < 0 || f.FailureLimit < 0 {
		return c, badInput(errors.New("a limit of requests per second must not be negative"), "")
	}
	for _, text := range f.AllowPrivate {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return c, badInput(fmt.Errorf("%q is not a network", text), "give the CIDR form, e.g. 10.1.0.0/16")
		}
		c.AllowPrivate = append(c.AllowPrivate, p.Masked())
	}
	return c, nil
}

func (f *laterFlags) limits() httpapi.Limits {
	limiter := func(perSecond float64) *limits.Limiter {
		return limits.NewLimiter(limits.Rate{PerSecond: perSecond, Burst: int(perSecond * burstSeconds)})
	}
	return httpapi.Limits{Requests: limiter(f.RateLimit), Failures: limiter(f.FailureLimit)}
}

// later is the part of a service that works on its own: asynchronous requests,
// webhooks, quotas.
type later struct {
	requests *requests.Service
	signs    *jobs.Runner
	sends    *jobs.Runner
	quotas   *limits.Quotas
	upkeep   *upkeep.Upkeep
}

// newLater wires it; signing is filled in afterwards.
func newLater(i *installation, d doors) *later {
	out := egress.New(d.egress)
	l := &later{quotas: limits.NewQuotas(i.store)}
	l.quotas.Logger = d.logger
	l.requests = &requests.Service{
		Store: i.store, Log: i.log, APIURL: d.publicURL + "/Api", ArtifactHosts: d.artifactHosts, Egress: out, Logger: d.logger,
	}
	sender := &webhooks.Sender{Store: i.store, Egress: out, UserAgent: "SignPath-Webhook/" + buildinfo.Version(), Logger: d.logger}
	if i.kek != nil {
		sender.Seal = i.kek
	}
	l.signs = &jobs.Runner{Store: i.store, Handlers: l.requests.Handlers(), Exclusive: !i.shared, Logger: d.logger}
	l.sends = &jobs.Runner{Store: i.store, Handlers: map[string]jobs.Handler{webhooks.JobKind: sender.Deliver}, Exclusive: !i.shared, Logger: d.logger}
	l.requests.Wake = func() {
		l.signs.Wake()
		l.sends.Wake()
	}
	l.upkeep = &upkeep.Upkeep{Store: i.store, Log: i.log, Wake: l.sends.Wake, Logger: d.logger}
	i.admin.CheckURL, i.admin.Requests = out.CheckURL, l.requests
	return l
}

// run works until ctx ends, and waits for what is under way.
func (l *later) run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { l.signs.Run(ctx) })
	all.Go(func() { l.sends.Run(ctx) })
	all.Go(func() { l.quotas.Watch(ctx) })
	all.Go(func() { l.upkeep.Run(ctx) })
	all.Wait()
}
