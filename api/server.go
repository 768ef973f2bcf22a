package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushwake/relay/store"
)

// Config has what the API needs from others, and its limits.
type Config struct {
	Store  *store.Store
	Tokens *Tokens

	Vendors   Vendors   // explains their answers
	Callbacks Callbacks // judges what Push Kit calls back with

	// CheckWebhookURL says why a URL cannot be an endpoint's; its error completes
	// the sentence "the URL …". It must not use the network.
	CheckWebhookURL func(url string) error

	// TrustedProxies are the networks of proxies whose X-Forwarded-For header
	// is believed. Without any, the client's address is that of the connection.
	TrustedProxies []netip.Prefix

	// AnswerWithin is the time limit of a request that is not a stream; after
	// it the answer is 503. 0 means 10 s.
	AnswerWithin time.Duration

	// StallAfter is how long a client may stop reading a streamed answer before
	// it is cut off; 0 means 30 s.
	StallAfter time.Duration

	// Heartbeat is the interval of the comments that keep an open feed alive; 0
	// means 30 s.
	Heartbeat time.Duration
	// Draining is closed when the process begins to stop: feeds end, and their
	// clients reconnect to another process. nil means never.
	Draining <-chan struct{}
	// Spec is the OpenAPI document, served as it is.
	Spec []byte

	Logger   *slog.Logger
	Registry *prometheus.Registry
}

// server holds what the handlers share.
type server struct {
	Config
	keys    keyCache
	metrics *metrics
	router  *chi.Mux
}

// New makes the API's handler.
func New(config Config) http.Handler {
	if config.AnswerWithin == 0 {
		config.AnswerWithin = 10 * time.Second
	}
	if config.StallAfter == 0 {
		config.StallAfter = 30 * time.Second
	}
	if config.Heartbeat == 0 {
		config.Heartbeat = 30 * time.Second
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Registry == nil {
		config.Registry = prometheus.NewRegistry()
	}
	s := &server{Config: config, metrics: newMetrics(config.Registry), router: chi.NewRouter()}
	s.routes(s.router)
	return s.router
}

// routes is the whole API on one screen, by who may ask. HEAD is answered
// wherever GET is, by the same handler: the connection sends no body.
func (s *server) routes(r *chi.Mux) {
	r.Use(s.clientIP(), s.observe, middleware.GetHead)
	r.NotFound(s.open(func(http.ResponseWriter, *http.Request) error { return errRoute }))
	r.MethodNotAllowed(s.open(s.methodNotAllowed))

	// VoIP backends
	r.Post("/v1/calls", s.backend(s.createCall))
	r.Get("/v1/calls", s.backend(s.listCalls))
	r.Get("/v1/calls/export", s.backend(s.exportCalls, exportTypes...))
	r.Get("/v1/calls/{call_id}", s.backend(s.getCall))
	r.Get("/v1/calls/{call_id}/timeline", s.backend(s.getTimeline))
	r.Post("/v1/calls/{call_id}/cancel", s.backend(s.cancelCall))
	r.Post("/v1/calls/{call_id}/end", s.backend(s.endCall))
	r.Put("/v1/devices/{device_id}", s.backend(s.putDevice))
	r.Get("/v1/devices/{device_id}", s.backend(s.getDevice))
	r.Delete("/v1/devices/{device_id}", s.backend(s.deleteDevice))
	r.Get("/v1/users/{user_id}/devices", s.backend(s.listUserDevices))
	r.Get("/v1/users/{user_id}/reachability", s.backend(s.getReachability))
	r.Put("/v1/users/{user_id}/dnd", s.backend(s.putDND))
	r.Get("/v1/users/{user_id}/dnd", s.backend(s.getDND))
	r.Delete("/v1/users/{user_id}/dnd", s.backend(s.deleteDND))
	r.Post("/v1/device-tokens", s.backend(s.createDeviceToken))
	r.Get("/v1/webhooks", s.backend(s.listWebhooks))
	r.Post("/v1/webhooks", s.backend(s.createWebhook))
	r.Get("/v1/webhooks/{webhook_id}", s.backend(s.getWebhook))
	r.Patch("/v1/webhooks/{webhook_id}", s.backend(s.changeWebhook))
	r.Delete("/v1/webhooks/{webhook_id}", s.backend(s.deleteWebhook))
	r.Post("/v1/webhooks/{webhook_id}/rotate-secret", s.backend(s.rotateWebhookSecret))
	r.Post("/v1/webhooks/{webhook_id}/test", s.backend(s.testWebhook))
	r.Post("/v1/webhooks/{webhook_id}/replay", s.backend(s.replayWebhook))
	r.Get("/v1/webhooks/{webhook_id}/deliveries", s.backend(s.listDeliveries))
	r.Post("/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", s.backend(s.redeliver))
	r.Get("/v1/events", s.backend(s.listEvents, feedTypes...))

	// Apps on devices: a device JWT
	r.Put("/v1/device", s.registrant(s.putOwnDevice))
	r.Delete("/v1/device", s.device(s.deleteOwnDevice))
	r.Get("/v1/device/calls", s.device(s.listDeviceCalls, feedTypes...))
	r.Post("/v1/device/calls", s.device(s.dialCall))

	// Apps on devices: a device JWT, or the wake's token for its leg
	r.Get("/v1/device/calls/{call_id}", s.leg(s.getDeviceCall))
	r.Post("/v1/device/calls/{call_id}/confirm", s.leg(s.confirmCall))
	r.Post("/v1/device/calls/{call_id}/reports", s.leg(s.reportCall))

	// Operators
	r.Get("/v1/admin/calls", s.admin(s.adminListCalls))
	r.Get("/v1/admin/calls/export", s.admin(s.adminExportCalls, exportTypes...))
	r.Get("/v1/admin/calls/{call_id}", s.admin(s.adminGetCall))
	r.Get("/v1/admin/calls/{call_id}/timeline", s.admin(s.adminGetTimeline))
	r.Get("/v1/admin/events", s.admin(s.adminListEvents, feedTypes...))

	// Vendors
	r.Post("/v1/receipts/push-kit/{app_id}", s.open(s.takeReceipts))

	// Operations
	r.Get("/", s.open(s.home))
	r.Get("/healthz", s.operation(s.health))
	r.Get("/readyz", s.operation(s.ready))
	r.Get("/metrics", s.operation(s.serveMetrics))
	r.Get("/openapi.yaml", s.operation(s.spec))
	r.Get("/docs", s.open(s.redirectDocs))
	r.Get("/docs/", s.open(s.docs))
	r.Get("/docs/{file}", s.open(s.docsFile))
}

// clientIP finds the address of the client's own connection.
func (s *server) clientIP() func(http.Handler) http.Handler {
	if len(s.TrustedProxies) == 0 {
		return middleware.ClientIPFromRemoteAddr
	}
	proxies := make([]string, len(s.TrustedProxies))
	for i, p := range s.TrustedProxies {
		proxies[i] = p.String()
	}
	return middleware.ClientIPFromXFF(proxies...)
}

func clientAddr(ctx context.Context) netip.Addr { return middleware.GetClientIPAddr(ctx) }
