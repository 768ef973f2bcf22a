package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/pushwake/relay"
	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/push/webhook"
	"github.com/pushwake/relay/store"
)

// drain is how long the service waits for requests under way when it is told to
// stop.
const drain = 10 * time.Second

// drainWakes is the part of it that the last requests to vendors have: one
// attempt's time.
const drainWakes = 3 * time.Second

// serviceConfig is what one relay process needs.
type serviceConfig struct {
	databaseURL    string
	maxConns       int
	noListen       bool
	masterKeys     [][]byte
	addr           string
	pushKitURL     string
	apns           apns.PoolsConfig
	trustedProxies []netip.Prefix
	webhooks       webhooks
	logger         *slog.Logger
}

// service is everything that one relay process consists of.
type service struct {
	config     serviceConfig
	store      *store.Store
	dispatcher *push.Dispatcher
	deliverer  *webhook.Deliverer
	apns       *apns.Pools
	tokens     *api.Tokens
	listener   net.Listener
	server     *http.Server
	handling   atomic.Int64            // requests under way
	draining   chan struct{}           // closed when it begins to stop
	cut        context.CancelCauseFunc // ends the requests that are under way
}

// newService builds everything and listens on the port; run starts the work.
func newService(ctx context.Context, c serviceConfig) (*service, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	tokens, err := api.NewTokens(c.masterKeys)
	if err != nil {
		return nil, err
	}
	s := &service{config: c, tokens: tokens, draining: make(chan struct{})}
	if s.apns, err = apns.NewPools(c.apns); err != nil {
		return nil, err
	}
	// The two need each other: the store hands wakes to the dispatcher, which
	// reports outcomes back. The store hands over none before its first call or
	// Run.
	s.store, err = store.Open(ctx, store.Config{
		URL: c.databaseURL, MaxConns: c.maxConns, NoListen: c.noListen, MasterKeys: c.masterKeys, Logger: c.logger, Registerer: registry,
		OnWakes: func(w []store.Wake) { s.dispatcher.Enqueue(w) },
		Full:    func() bool { return s.dispatcher.Full() },
	})
	if err != nil {
		return nil, err
	}
	if err := s.store.CheckLog(ctx); err != nil {
		s.store.Close()
		return nil, err
	}
	s.dispatcher = push.New(push.Config{
		Store: s.store, Senders: s.openSender, WakeToken: tokens.Wake, Drain: drainWakes, Logger: c.logger, Registerer: registry,
	})
	guard := webhook.Guard{Allow: c.webhooks.allow}
	s.deliverer = webhook.New(webhook.Config{
		Store: s.store, Render: api.EventJSON, Guard: guard, Schedule: c.webhooks.schedule(), Drain: drainWakes, UserAgent: "relay/" + currentVersion(),
		Logger: c.logger, Registerer: registry,
	})
	if s.listener, err = listenConfig.Listen(ctx, "tcp", c.addr); err != nil {
		s.store.Close()
		return nil, fmt.Errorf("%w (choose another address with --addr)", err)
	}
	requests, cut := context.WithCancelCause(context.Background())
	s.cut = cut
	s.server = &http.Server{
		BaseContext: func(net.Listener) context.Context { return requests },
		Handler: s.counted(api.New(api.Config{
			Store: s.store, Tokens: tokens, Vendors: apiVendors{s.dispatcher}, Callbacks: apiCallbacks{s.store}, CheckWebhookURL: guard.CheckURL, TrustedProxies: c.trustedProxies, Draining: s.draining, Spec: relay.OpenAPI, Logger: c.logger, Registry: registry,
		})),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(c.logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// url is where the API is served.
func (s *service) url() string { return "http://" + s.listener.Addr().String() }

// run serves until ctx ends, then drains: it accepts no new requests, lets
// those under way end, and leaves wakes that wait for a retry to other
// processes.
func (s *service) run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, failed := errgroup.WithContext(ctx)
	g.Go(func() error { return s.store.Run(background) })
	delivering, stopDelivering := context.WithCancel(background)
	defer stopDelivering()
	delivered := make(chan error, 1)
	go func() { delivered <- s.deliverer.Run(delivering) }()
	g.Go(func() error {
		if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-failed.Done()
		close(s.draining) // feeds end at once, and their clients reconnect to another process
		stopDelivering()
		deadline, cancel := context.WithTimeout(background, drain-drainWakes-time.Second)
		defer cancel()
		err := s.server.Shutdown(deadline)
		if errors.Is(err, context.DeadlineExceeded) { // a client that is that slow is cut off, which is no failure of relay's
			s.config.logger.Warn("requests were cut off by the end of the drain")
			s.cut(api.ErrStopping) // so that their log lines do not say that the client left
			err = s.server.Close()
			s.awaitHandlers(time.Second)
		}
		s.dispatcher.Close()
		s.apns.Close()
		err = errors.Join(err, <-delivered)
		stop() // the heartbeat goes on until here, so that no other process takes over what is under way
		return err
	})
	err := g.Wait()
	s.store.Close()
	return err
}

// counted counts the requests that are being handled.
func (s *service) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handling.Add(1)
		defer s.handling.Add(-1)
		h.ServeHTTP(w, r)
	})
}

// awaitHandlers waits for requests whose connections were closed, so that each
// has its line in the log. http.Server.Close does not.
func (s *service) awaitHandlers(most time.Duration) {
	for deadline := time.Now().Add(most); s.handling.Load() > 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
}

// openSender makes the Sender of an app's credential with a vendor.
func (s *service) openSender(ctx context.Context, appID string, vendor call.Vendor) (push.Sender, error) {
	c, err := s.store.Credential(ctx, appID, vendor)
	if err != nil {
		return nil, err
	}
	switch vendor {
	case call.PushKit:
		return pushkit.New(pushkit.Config{KeyFile: c.Secret, BaseURL: s.config.pushKitURL, Logger: s.config.logger})
	case call.APNs:
		return apns.New(apns.Config{Credential: c.Secret, Pools: s.apns, Logger: s.config.logger})
	}
	return nil, store.ErrNotFound
}

// stopUnstarted releases what newService opened, where run is never called.
func (s *service) stopUnstarted() error {
	err := s.listener.Close()
	s.dispatcher.Close()
	s.apns.Close()
	s.store.Close()
	return err
}
