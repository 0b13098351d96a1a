// Package metrics counts what the service does, for Prometheus.
//
// What enters are observations of other rooms, by functions that those call
// without knowing this package, and functions that tell a present state when
// somebody asks. What leaves is an http.Handler in Prometheus' text format.
// Labels have few values: routes by their pattern, checks by their number, key
// types. Names of organizations, users, policies or keys never leave by this way.
package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"signpath/internal/service/signing"
)

// askTime bounds how long a scrape waits for the service's state.
const askTime = 5 * time.Second

// State is what the service is like at the moment.
type State struct {
	Recordable    bool            // a signature can be put on record
	KeyStores     map[string]bool // by name, e.g. "hsm:main": can be used
	AuditEntries  uint64
	OpenIntents   int // intents whose outcome is not known yet
	Organizations int
	Policies      int // that sign
	// ExpiringCertificates and ExpiringTokens end within 30 days, or have ended;
	// only those that are in use count.
	ExpiringCertificates, ExpiringTokens int
	ConfigVersion                        uint64
}

// Metrics are the metrics of one process. Safe for concurrent use.
type Metrics struct {
	registry   *prometheus.Registry
	signatures *prometheus.CounterVec
	refusals   *prometheus.CounterVec
	intents    prometheus.Histogram
	keyUse     *prometheus.HistogramVec
	requests   *prometheus.HistogramVec
}

// New makes metrics; state is asked at each scrape, an error leaves its values out.
func New(version, commit string, state func(context.Context) (State, error)) *Metrics {
	// From a software ECDSA key (0.1 ms) to an HSM that hangs (a minute).
	seconds := prometheus.ExponentialBucketsRange(0.0001, 60, 20)
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		signatures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "signpath_signatures_total",
			Help: "Signatures by result (completed, failed), key type and size, and signature algorithm."}, []string{"result", "key", "algorithm"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "signpath_refusals_total",
			Help: "Requests to sign that a check refused, by the number of the check."}, []string{"check"}),
		intents: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "signpath_intent_duration_seconds",
			Help: "Time until the intent of a signature is on the disk.", Buckets: seconds}),
		keyUse: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "signpath_key_duration_seconds",
			Help: "Time that key stores take for a signature.", Buckets: seconds}, []string{"key_store"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "signpath_http_request_duration_seconds",
			Help: "HTTP requests by method, route and status.", Buckets: seconds}, []string{"method", "route", "status"}),
	}
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "signpath_build_info", Help: "Version of the program.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit}}, func() float64 { return 1 })
	m.registry.MustRegister(m.signatures, m.refusals, m.intents, m.keyUse, m.requests, info, newStateCollector(state),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 2 * askTime})
}

// Signed takes what signing tells, see signing.Config.Observe.
func (m *Metrics) Signed(o signing.Observation) {
	if o.Refused != 0 {
		m.refusals.WithLabelValues(strconv.Itoa(o.Refused)).Inc()
		return
	}
	result := "completed"
	if o.Failed {
		result = "failed"
	}
	m.signatures.WithLabelValues(result, string(o.KeyType)+strconv.Itoa(o.KeyBits), string(o.Algorithm)).Inc()
	m.intents.Observe(o.Intent.Seconds())
	m.keyUse.WithLabelValues(o.KeyStore).Observe(o.KeyUse.Seconds())
}

// Request takes what the API tells, see httpapi.Config.Observe.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// stateCollector asks once per scrape.
type stateCollector struct {
	state    func(context.Context) (State, error)
	up       *prometheus.Desc
	keyStore *prometheus.Desc
	values   []stateValue
}

type stateValue struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*State) float64
}

func newStateCollector(state func(context.Context) (State, error)) *stateCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("signpath_"+name, help, labels, nil)
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	return &stateCollector{
		state:    state,
		up:       desc("database_up", "1: the database answers."),
		keyStore: desc("key_store_up", "1: the key store can be used.", "key_store"),
		values: []stateValue{
			{desc("recordable", "1: a signature can be put on record (healthz)."), gauge, func(s *State) float64 { return truth(s.Recordable) }},
			{desc("audit_entries_total", "Entries of the audit log."), counter, func(s *State) float64 { return float64(s.AuditEntries) }},
			{desc("open_intents", "Intents whose outcome is not known yet."), gauge, func(s *State) float64 { return float64(s.OpenIntents) }},
			{desc("organizations", "Organizations."), gauge, func(s *State) float64 { return float64(s.Organizations) }},
			{desc("signing_policies", "Signing policies that are active."), gauge, func(s *State) float64 { return float64(s.Policies) }},
			{desc("expiring_certificates", "Certificates in use that end within 30 days or have ended."), gauge, func(s *State) float64 { return float64(s.ExpiringCertificates) }},
			{desc("expiring_tokens", "API tokens that end within 30 days or have ended, and were not revoked."), gauge, func(s *State) float64 { return float64(s.ExpiringTokens) }},
			{desc("config_version", "Version of the configuration that is in force; replicas differ for a moment."), gauge, func(s *State) float64 { return float64(s.ConfigVersion) }},
		},
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.up
	to <- c.keyStore
	for _, v := range c.values {
		to <- v.desc
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	s, err := c.state(ctx)
	for name, up := range s.KeyStores {
		to <- prometheus.MustNewConstMetric(c.keyStore, prometheus.GaugeValue, truth(up), name)
	}
	to <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, truth(err == nil))
	if err != nil {
		return // the rest would be old, or zero
	}
	for _, v := range c.values {
		to <- prometheus.MustNewConstMetric(v.desc, v.kind, v.value(&s))
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
