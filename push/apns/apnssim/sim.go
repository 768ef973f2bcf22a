package apnssim

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Environment is one of the two that Apple keeps apart: its own host, and
// tokens and keys that are good for it.
type Environment string

// Environments of a simulator.
const (
	Production Environment = "production"
	Sandbox    Environment = "sandbox"
)

func (e Environment) check() error {
	if e != "" && e != Production && e != Sandbox {
		return errors.New("environment must be production or sandbox, or left out for both")
	}
	return nil
}

// Options configure a [Sim]. A zero field takes its default.
type Options struct {
	Public   bool             // may listen on other addresses than loopback ones, as in a container
	Hosts    []string         // names in the server's certificate, beside localhost
	Streams  uint32           // streams on a connection that has accepted a push; default 500
	Linger   time.Duration    // how long a connection that went away stays open; default 1 s
	Messages int              // requests kept for GET /sim/messages, the newest; default 100,000
	Now      func() time.Time // the clock of provider tokens; default time.Now
	Logger   *slog.Logger     // one debug line per request, without tokens and payloads; default none
}

// Sim is a simulated APNs server. It is safe for concurrent use.
type Sim struct {
	options Options
	ca      authority

	mu         sync.Mutex
	keys       map[string]key // by key id
	tokens     map[string]Token
	faults     []Fault
	messages   []Message
	last       int64 // N of the newest message
	deliveries []Delivery
	delivered  int64                // N of the newest delivery
	stored     map[storedKey]stored // for devices that are offline
	arrived    chan struct{}        // closed and replaced when a delivery came
	conns      map[*conn]struct{}
	opened     int
	refused    int

	closing   chan struct{}
	once      sync.Once
	listeners []net.Listener
	control   *http.Server
	running   sync.WaitGroup
}

// New makes a simulator without keys: until one is made, every push is refused
// as InvalidProviderToken.
func New(o Options) (*Sim, error) {
	if o.Streams == 0 {
		o.Streams = 500
	}
	if o.Linger == 0 {
		o.Linger = time.Second
	}
	if o.Messages == 0 {
		o.Messages = 100_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	ca, err := newAuthority(o.Hosts)
	if err != nil {
		return nil, err
	}
	return &Sim{
		options: o, ca: ca, keys: map[string]key{}, tokens: map[string]Token{}, stored: map[storedKey]stored{}, conns: map[*conn]struct{}{},
		arrived: make(chan struct{}), closing: make(chan struct{}),
	}, nil
}

// Addresses are where a simulator listens, such as "127.0.0.1:0" for any port;
// "" is that.
type Addresses struct {
	Production, Sandbox, Control string
}

// URLs are the base URLs of a running simulator: for pushes to each
// environment, and of the control side.
type URLs struct {
	Production, Sandbox, Control string
}

// Start listens for pushes and for the control side.
func (s *Sim) Start(a Addresses) (URLs, error) {
	var open []net.Listener
	for _, address := range []string{a.Production, a.Sandbox, a.Control} {
		l, err := s.listen(cmp.Or(address, "127.0.0.1:0"))
		if err != nil {
			for _, l := range open {
				err = errors.Join(err, l.Close())
			}
			return URLs{}, err
		}
		open = append(open, l)
	}
	production, sandbox, control := open[0], open[1], open[2]
	serverTLS := &tls.Config{Certificates: []tls.Certificate{s.ca.leaf}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}
	s.listeners = []net.Listener{tls.NewListener(production, serverTLS), tls.NewListener(sandbox, serverTLS)}
	for i, environment := range []Environment{Production, Sandbox} {
		s.running.Go(func() { s.accept(s.listeners[i], environment) })
	}
	s.control = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	s.running.Go(func() { _ = s.control.Serve(control) }) // ends by Close
	return URLs{
		Production: "https://" + production.Addr().String(), Sandbox: "https://" + sandbox.Addr().String(), Control: "http://" + control.Addr().String(),
	}, nil
}

func (s *Sim) listen(address string) (net.Listener, error) {
	if a, err := net.ResolveTCPAddr("tcp", address); err == nil && !s.options.Public && !a.IP.IsLoopback() {
		return nil, fmt.Errorf("address %q is not a loopback address", address)
	}
	return net.Listen("tcp", address)
}

func (s *Sim) accept(l net.Listener, environment Environment) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		c := newConn(s, environment, nc)
		s.mu.Lock()
		select {
		case <-s.closing:
			s.mu.Unlock()
			_ = nc.Close()
			return
		default:
		}
		s.conns[c] = struct{}{}
		s.opened++
		s.mu.Unlock()
		s.running.Go(c.run)
	}
}

// Close ends all connections and waits for their work.
func (s *Sim) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closing)
		if s.control == nil {
			return
		}
		for _, l := range s.listeners {
			err = errors.Join(err, l.Close())
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.control.Shutdown(ctx) != nil {
			err = errors.Join(err, s.control.Close())
		}
		for _, c := range s.open() {
			c.drop()
		}
		s.running.Wait()
	})
	return err
}

// open lists the open connections.
func (s *Sim) open() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

// Connections counts what senders did with connections.
type Connections struct {
	Open    int `json:"open"`
	Opened  int `json:"opened"`  // in total
	Streams int `json:"streams"` // that wait for their answer
	Refused int `json:"refused"` // streams over the limit
}

// Connections returns the counts of this moment.
func (s *Sim) Connections() Connections {
	streams := 0
	for _, c := range s.open() {
		c.mu.Lock()
		streams += len(c.streams)
		c.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Connections{Open: len(s.conns), Opened: s.opened, Streams: streams, Refused: s.refused}
}

// Roots trusts the simulator's certificate.
func (s *Sim) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.ca.pem)
	return pool
}

// RootPEM is the certificate to trust, as a file has it.
func (s *Sim) RootPEM() []byte { return s.ca.pem }
