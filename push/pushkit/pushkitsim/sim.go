package pushkitsim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/pushwake/relay/push/simcontrol"
)

// Options configure a [Sim]. The zero value is ready to use.
type Options struct {
	// Now is the simulator's clock; nil means time.Now. Expiry, quotas, token
	// times to live and the ten seconds of a call follow it. Waiting (latency,
	// stalls, long polls, the delay of receipts) is real time.
	Now func() time.Time
	// Logger gets one debug line per request; nil discards. Tokens, keys and
	// payloads are never logged.
	Logger *slog.Logger
	Public bool // may listen on other addresses than loopback ones, as in a container
	Limits Limits
	Quotas Quotas
}

// Limits bound the simulator's memory. A zero field takes its default.
type Limits struct {
	Messages     int   // requests kept for GET /sim/messages; default 100,000
	MessageBytes int64 // bytes of the bodies kept; default 256 MiB
	Deliveries   int   // deliveries kept for GET /sim/deliveries; default 100,000
	RequestBytes int64 // largest request body read; default 1 MiB
}

// Quotas are the flow limits of a project that does not set its own.
type Quotas struct {
	QPS                int // devices pushed per second; 0 = unlimited
	TestMessagesPerDay int // accepted test requests per project and day; default 1000 (Push Kit REST v3, testMessage)
}

// Sim is a simulated Push Kit server. Make one with [New]; it is safe for
// concurrent use.
type Sim struct {
	now    func() time.Time
	log    *slog.Logger
	public bool
	limits Limits
	quotas Quotas
	router http.Handler

	projects projects
	faults   faults
	messages messages
	fleet    fleet
	receipts receipts
	requests atomic.Uint64 // counter behind requestId

	closing   chan struct{}
	closeOnce sync.Once
	server    struct {
		sync.Mutex
		http *http.Server
		done chan struct{}
	}
}

// New makes a simulator without projects: until one is added, every send is
// answered 80200001.
func New(o Options) *Sim {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.Limits.Messages, 100_000)
	setDefault(&o.Limits.MessageBytes, 256<<20)
	setDefault(&o.Limits.Deliveries, 100_000)
	setDefault(&o.Limits.RequestBytes, 1<<20)
	setDefault(&o.Quotas.TestMessagesPerDay, 1000)
	s := &Sim{now: o.Now, log: o.Logger, public: o.Public, limits: o.Limits, quotas: o.Quotas, closing: make(chan struct{})}
	s.projects.init()
	s.fleet.init(o.Limits.Deliveries)
	s.receipts.init()
	s.router = s.routes()
	return s
}

func setDefault[T int | int64](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// routes is the whole route table.
func (s *Sim) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.GetHead)
	r.NotFound(s.unknownRoute)
	r.MethodNotAllowed(s.unknownMethod)

	r.Post("/v3/{project}/messages:send", s.handleSend)
	r.Post("/v1/{client}/messages:revoke", s.handleRevoke)

	r.Get("/sim/healthz", simcontrol.Handle(s.getHealth))
	r.Put("/sim/projects/{project}", simcontrol.Handle(s.putProject))
	r.Get("/sim/projects/{project}", simcontrol.Handle(s.getProject))
	r.Delete("/sim/projects/{project}", simcontrol.Handle(s.deleteProject))
	r.Post("/sim/projects/{project}/service-accounts", simcontrol.Handle(s.postServiceAccount))
	for _, path := range []string{"/sim/tokens", "/sim/tokens/{token}"} {
		r.Put(path, simcontrol.Handle(s.putToken))
		r.Get(path, simcontrol.Handle(s.getToken))
		r.Delete(path, simcontrol.Handle(s.deleteToken))
	}
	r.Put("/sim/faults", simcontrol.Handle(s.putFaults))
	r.Get("/sim/faults", simcontrol.Handle(s.getFaults))
	r.Delete("/sim/faults", simcontrol.Handle(s.deleteFaults))
	r.Get("/sim/messages", simcontrol.Handle(s.getMessages))
	r.Delete("/sim/messages", simcontrol.Handle(s.deleteMessages))
	r.Get("/sim/deliveries", simcontrol.Handle(s.getDeliveries))
	r.Get("/sim/devices/{token}", simcontrol.Handle(s.getDevice))
	r.Post("/sim/devices/{token}/report-incoming-call", simcontrol.Handle(s.postIncomingCall))
	r.Post("/sim/devices/{token}/report-call-state-change", simcontrol.Handle(s.postCallState))
	r.Post("/sim/devices/{token}/report-incoming-call-error", simcontrol.Handle(s.postIncomingCallError))
	r.Put("/sim/devices/{token}/carrier-call", simcontrol.Handle(s.putCarrierCall))
	r.Post("/sim/devices/{token}/click-notification", simcontrol.Handle(s.postClick))
	r.Put("/sim/receipts", simcontrol.Handle(s.putReceipts))
	r.Get("/sim/receipts", simcontrol.Handle(s.getReceipts))
	r.Delete("/sim/receipts", simcontrol.Handle(s.deleteReceipts))
	return r
}

// ServeHTTP serves both sides. To break a connection it panics with
// http.ErrAbortHandler, which every http.Server turns into just that.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.router.ServeHTTP(w, r) }

// Start serves on addr, such as "127.0.0.1:0" (the default when empty), and
// returns the base URL, without a slash at its end. The address is a loopback
// one unless Options.Public is set.
func (s *Sim) Start(addr string) (baseURL string, err error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("pushkitsim: address %q: %w", addr, err)
	}
	if !s.public && !isLoopbackHost(host) {
		return "", fmt.Errorf("pushkitsim: address %q is not a loopback address", addr)
	}
	s.server.Lock()
	defer s.server.Unlock()
	if s.server.http != nil {
		return "", errors.New("pushkitsim: already started")
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("pushkitsim: listen: %w", err)
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}
	done := make(chan struct{})
	s.server.http, s.server.done = srv, done
	go func() {
		defer close(done)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serve", "error", err)
		}
	}()
	return "http://" + ln.Addr().String(), nil
}

// Close ends long polls, stalls and receipts, and the server of [Sim.Start] if
// there is one. A closed Sim is not started again.
func (s *Sim) Close() error {
	s.closeOnce.Do(func() { close(s.closing) })
	s.receipts.stop()
	s.server.Lock()
	defer s.server.Unlock()
	if s.server.http == nil {
		return nil
	}
	err := s.server.http.Close()
	<-s.server.done
	return err
}

// pause waits d of real time; it ends early, with false, when ctx ends or the
// simulator closes.
func (s *Sim) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.closing:
		return false
	}
}

func isLoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
