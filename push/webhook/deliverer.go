package webhook

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushwake/relay/store"
)

// Config is what a deliverer works with. Zero values take the defaults.
type Config struct {
	Store *store.Store
	// Render makes an event's JSON, as readers of the log get it.
	Render func(store.LoggedEvent) ([]byte, error)
	Guard  Guard

	Schedule Schedule      // of the tries; zero means DefaultSchedule
	Timeout  time.Duration // of one request, its answer included; 0 means 10 s
	Backlog  int           // deliveries that may wait for one endpoint before the log is read no further; 0 means 2000
	Look     time.Duration // between two looks for endpoints that changed or that nobody has; 0 means 500 ms
	Drain    time.Duration // how long requests under way may go on when Run is told to stop; 0 means 3 s

	UserAgent  string
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (c *Config) setDefaults() {
	if c.Schedule.Live == nil && c.Schedule.Late == nil {
		c.Schedule = DefaultSchedule
	}
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.Backlog = cmp.Or(c.Backlog, 2000)
	c.Look = cmp.Or(c.Look, 500*time.Millisecond)
	c.Drain = cmp.Or(c.Drain, 3*time.Second)
	c.UserAgent = cmp.Or(c.UserAgent, "relay")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
}

// Deliverer delivers to the endpoints that its process owns.
type Deliverer struct {
	config  Config
	client  *http.Client
	metrics *metrics

	sends context.Context // ends Config.Drain after Run is told to stop
	abort context.CancelFunc

	mu        sync.Mutex
	endpoints map[uuid.UUID]*endpoint
	loops     sync.WaitGroup
}

// New makes a deliverer, which works while Run does.
func New(config Config) *Deliverer {
	config.setDefaults()
	d := &Deliverer{config: config, client: config.Guard.client(config.Timeout), endpoints: map[uuid.UUID]*endpoint{}}
	d.sends, d.abort = context.WithCancel(context.Background())
	d.metrics = newMetrics(config.Registerer, d.backlog)
	return d
}

// Run claims endpoints and delivers to them until ctx ends. Then it starts no more
// requests, records what those under way come to, and returns.
func (d *Deliverer) Run(ctx context.Context) error {
	defer d.client.CloseIdleConnections()
	defer d.abort()
	look := time.NewTicker(d.config.Look)
	defer look.Stop()
	failing := false
	for {
		hooks, err := d.claim(ctx)
		if err == nil {
			d.serve(ctx, hooks)
		} else if ctx.Err() == nil && !failing {
			d.config.Logger.Warn("webhooks cannot be claimed", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			timer := time.AfterFunc(d.config.Drain, d.abort)
			defer timer.Stop()
			d.loops.Wait()
			return nil
		case <-look.C:
		}
	}
}

// storeTimeout bounds one piece of work with the database.
const storeTimeout = 10 * time.Second

func (d *Deliverer) claim(ctx context.Context) ([]store.OwnedWebhook, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return d.config.Store.ClaimWebhooks(ctx)
}

// serve starts a loop for each endpoint that has none, tells those that have
// changed, and stops those of endpoints that this process has no more.
func (d *Deliverer) serve(ctx context.Context, hooks []store.OwnedWebhook) {
	d.mu.Lock()
	defer d.mu.Unlock()
	owned := map[uuid.UUID]bool{}
	for _, h := range hooks {
		owned[h.ID] = true
		e := d.endpoints[h.ID]
		if e == nil {
			e = newEndpoint(d, h)
			d.endpoints[h.ID] = e
			loop, stop := context.WithCancel(ctx)
			e.stop = stop
			d.loops.Go(func() {
				defer stop()
				e.run(loop)
				d.mu.Lock()
				defer d.mu.Unlock()
				delete(d.endpoints, h.ID)
			})
		} else if e.version.Load() != h.Version {
			signal(e.changed)
		}
	}
	for id, e := range d.endpoints {
		if !owned[id] {
			e.stop()
		}
	}
}

// backlog is how many deliveries wait in this process, and how old the oldest is.
func (d *Deliverer) backlog() (waiting int64, oldest time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.config.Store.Now().UnixMilli()
	for _, e := range d.endpoints {
		waiting += e.waiting.Load()
		if since := e.oldest.Load(); since != 0 {
			oldest = max(oldest, time.Duration(now-since)*time.Millisecond)
		}
	}
	return waiting, oldest
}

// signal puts a token into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
