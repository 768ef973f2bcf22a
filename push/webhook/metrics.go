package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests, and whose fault the failed ones were.
type metrics struct {
	attempts *prometheus.CounterVec
	seconds  prometheus.Histogram
}

// newMetrics registers them; backlog tells what waits.
func newMetrics(r prometheus.Registerer, backlog func() (int64, time.Duration)) *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_webhook_attempts_total", Help: "Requests to endpoints of webhooks, by what they came to and whose fault that was.",
		}, []string{"outcome", "blame"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "relay_webhook_attempt_seconds", Help: "How long endpoints of webhooks took to answer.", Buckets: []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}),
	}
	r.MustRegister(m.attempts, m.seconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "relay_webhook_pending", Help: "Deliveries to endpoints that this process has, which wait or are under way."},
			func() float64 { n, _ := backlog(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "relay_webhook_oldest_pending_seconds", Help: "How old the oldest of them is."},
			func() float64 { _, age := backlog(); return age.Seconds() }))
	return m
}

func (m *metrics) attempt(r result) {
	m.attempts.WithLabelValues(string(r.outcome), string(r.blame)).Inc()
	m.seconds.Observe(r.attempt.Duration.Seconds())
}
