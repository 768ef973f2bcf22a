package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushwake/relay/call"
)

// metrics counts what the store commits. Labels come from closed sets.
type metrics struct {
	batchSize   *prometheus.HistogramVec
	legsSkipped *prometheus.CounterVec
	callsBegun  *prometheus.CounterVec
	callsEnded  *prometheus.CounterVec
	stage       *prometheus.HistogramVec
	secondWakes *prometheus.CounterVec
	receipts    *prometheus.CounterVec
	tokenAlarms *prometheus.CounterVec
	deadlineLag prometheus.Histogram
	tailLag     prometheus.Histogram
	readLag     prometheus.Histogram
	feedsOpen   prometheus.Gauge

	tokensSpared *prometheus.CounterVec
}

// stageBuckets range from a push over an open connection to the longest ring.
var stageBuckets = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		batchSize: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "relay_store_batch_items", Help: "Items written in one transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}, []string{"lane"}),
		legsSkipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_legs_skipped_total", Help: "Devices that the gate refused at an invitation.",
		}, []string{"reason"}),
		callsBegun: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_calls_created_total", Help: "Calls taken in.",
		}, []string{"direction"}),
		callsEnded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_calls_ended_total", Help: "Calls that ended.",
		}, []string{"end_reason"}),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "relay_wake_stage_seconds", Help: "From the call's creation until a leg reached a stage: the vendor accepted, the push was delivered by the vendor's receipt, the app confirmed, it rings.",
			Buckets: stageBuckets,
		}, []string{"stage", "channel"}),
		secondWakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_second_wakes_total", Help: "Wakes that followed where an app did not confirm, by the channel of the first one and of the second.",
		}, []string{"first", "second"}),
		receipts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_receipts_total", Help: "What vendors told of pushes that they had accepted, by what follows from it, and whether it was signed, came again, or is about no attempt of the app.",
		}, []string{"action", "standing"}),
		tokenAlarms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_token_alarms_total", Help: "Times that more than half of an app's tokens of a kind were to die within a minute, so that none was marked.",
		}, []string{"token"}),
		tokensSpared: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_tokens_spared_total", Help: "Tokens that such an alarm has kept alive.",
		}, []string{"token"}),
		deadlineLag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "relay_deadline_lag_seconds", Help: "How late a call was ended by its deadline.", Buckets: []float64{.01, .025, .05, .1, .15, .2, .25, .5, 1, 2, 5},
		}),
		tailLag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "relay_events_lag_seconds", Help: "How old an event was when this process's tail of the log read it.", Buckets: stageBuckets,
		}),
		readLag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "relay_events_readable_seconds", Help: "How old an app's event was when its log could be read so far. A long transaction anywhere in the cluster holds the log back.", Buckets: stageBuckets,
		}),
		feedsOpen: prometheus.NewGauge(prometheus.GaugeOpts{Name: "relay_feeds_open", Help: "Feeds of devices that are open at this process."}),
	}
	r.MustRegister(m.batchSize, m.legsSkipped, m.callsBegun, m.callsEnded, m.stage, m.secondWakes, m.receipts, m.tokenAlarms, m.tokensSpared, m.deadlineLag, m.tailLag, m.readLag, m.feedsOpen)
	return m
}

func (m *metrics) batch(lane string) func(int) {
	sizes := m.batchSize.WithLabelValues(lane)
	return func(n int) { sizes.Observe(float64(n)) }
}

// begun counts a new call, and its legs that were skipped.
func (m *metrics) begun(c *call.Call) {
	m.callsBegun.WithLabelValues(string(c.Direction)).Inc()
	for i := range c.Legs {
		if c.Legs[i].Status == call.LegSkipped {
			m.legsSkipped.WithLabelValues(string(c.Legs[i].Reason)).Inc()
		}
	}
	if !c.Live() {
		m.callsEnded.WithLabelValues(string(c.EndReason)).Inc()
	}
}

// progress observes how long a leg took to the stages that it has just reached,
// and the second wakes that have just begun.
func (m *metrics) progress(created time.Time, before legState, l call.Leg) {
	for _, s := range []struct {
		stage    string
		was, now time.Time
	}{{"accepted", before.handedOver, l.HandedOverAt}, {"confirmed", before.confirmed, l.ConfirmedAt}, {"ringing", before.ringing, l.RingingAt}} {
		if s.was.IsZero() && !s.now.IsZero() {
			m.stage.WithLabelValues(s.stage, string(l.Channel)).Observe(s.now.Sub(created).Seconds())
		}
	}
	if before.escalated.IsZero() && !l.EscalatedAt.IsZero() || before.rewoken.IsZero() && !l.RewokenAt.IsZero() {
		m.secondWakes.WithLabelValues(string(l.Channel), string(l.WakeChannel)).Inc()
	}
}
