package push

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushwake/relay/store"
)

// metrics counts attempts, and whose fault the failed ones were.
type metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	givenUp  *prometheus.CounterVec
	inHand   prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_push_attempts_total", Help: "Requests to vendors, by what they came to and whose fault that was.",
		}, []string{"purpose", "channel", "outcome", "blame"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "relay_push_attempt_seconds", Help: "How long vendors took to answer.", Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 3},
		}, []string{"channel"}),
		givenUp: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_wakes_given_up_total", Help: "Wakes and notices given up without asking the vendor.",
		}, []string{"purpose", "channel", "reason"}),
		inHand: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "relay_wakes_in_hand", Help: "Wakes and notices that this process is sending or waiting to send.",
		}),
	}
	r.MustRegister(m.attempts, m.seconds, m.givenUp, m.inHand)
	return m
}

func (m *metrics) attempt(w store.Wake, a Answer, took time.Duration) {
	m.attempts.WithLabelValues(string(w.Purpose), string(w.Channel), string(a.Outcome), string(a.Blame)).Inc()
	m.seconds.WithLabelValues(string(w.Channel)).Observe(took.Seconds())
}
