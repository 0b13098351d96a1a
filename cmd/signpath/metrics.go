package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"signpath/internal/service/metrics"
	"signpath/internal/service/model"
)

// soon is when an end is near enough to be counted.
const soon = 30 * 24 * time.Hour

// newMetricsServer answers GET /metrics, in the clear: nothing in there names
// anybody, and Prometheus runs beside the service or behind a proxy.
func newMetricsServer(m *metrics.Metrics, logger *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: readHeaderTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// state is what the service is like now, see metrics.State.
func (s *service) state(ctx context.Context) (metrics.State, error) {
	i := s.installation
	out := metrics.State{KeyStores: map[string]bool{softBackend: true}}
	for _, token := range i.tokens {
		out.KeyStores[token.Name()] = token.Health() == nil
	}
	head, err := i.store.AuditHead(ctx)
	if err != nil {
		return out, err
	}
	open, err := i.store.OpenIntents(ctx)
	if err != nil {
		return out, err
	}
	counts, err := s.countObjects(ctx)
	if err != nil {
		return out, err
	}
	out.Organizations, out.Policies, out.ExpiringCertificates, out.ExpiringTokens = counts.Organizations, counts.Policies, counts.ExpiringCertificates, counts.ExpiringTokens
	out.Recordable = i.health(ctx) == nil
	out.AuditEntries, out.OpenIntents = head.Size, len(open)
	out.ConfigVersion = s.signing.Snapshot().Version()
	return out, nil
}

// objects are counts of one version of the configuration.
type objects struct {
	version uint64
	until   time.Time // ends come nearer without a change
	metrics.State
}

// countObjects reads the configuration only when it has changed, or once an hour.
func (s *service) countObjects(ctx context.Context) (*objects, error) {
	version, err := s.installation.store.ConfigVersion(ctx)
	if err != nil {
		return nil, err
	}
	if last := s.objects.Load(); last != nil && last.version == version && time.Now().Before(last.until) {
		return last, nil
	}
	config, err := s.installation.store.Config(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	counts := &objects{version: config.Version, until: now.Add(time.Hour)}
	counts.Organizations = len(config.Organizations)
	countEnds(&counts.State, config, now.Add(soon))
	s.objects.Store(counts)
	return counts, nil
}

// countEnds counts the policies that sign, and what ends before a time.
func countEnds(out *metrics.State, config *model.Config, before time.Time) {
	inUse := map[string]bool{}
	for i := range config.SigningPolicies {
		if p := &config.SigningPolicies[i]; p.Active {
			out.Policies++
			inUse[p.CertificateID] = true
		}
	}
	for i := range config.Certificates {
		if c := &config.Certificates[i]; c.Active && inUse[c.ID] && !c.NotAfter.IsZero() && c.NotAfter.Before(before) {
			out.ExpiringCertificates++
		}
	}
	for i := range config.Tokens {
		if t := &config.Tokens[i]; t.Active && !t.Expires.IsZero() && t.Expires.Before(before) {
			out.ExpiringTokens++
		}
	}
}
