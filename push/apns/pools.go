package apns

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"
)

// The environments of a device's token, by the app's aps-environment
// entitlement.
const (
	Production = "production"
	Sandbox    = "sandbox"
)

// Apple's hosts (Apple, Sending notification requests to APNs). Port 2197 serves
// as well as 443.
const (
	DefaultProductionURL = "https://api.push.apple.com"
	DefaultSandboxURL    = "https://api.sandbox.push.apple.com"
)

// PoolsConfig makes [Pools]. A zero field takes its default.
type PoolsConfig struct {
	ProductionURL string // scheme and host; default [DefaultProductionURL]
	SandboxURL    string // default [DefaultSandboxURL]

	DialTimeout time.Duration  // of one connection with its TLS handshake; default 2 s
	MaxConns    int            // connections for each environment, team and key; default 4
	RootCAs     *x509.CertPool // default the system's

	Now func() time.Time // default time.Now
}

// Pools holds the connections and the provider tokens of a process, shared by
// all apps: one pool for each (environment, team, key), one token for each
// (team, key).
type Pools struct {
	config  PoolsConfig
	dialers map[string]*dialer // by environment
	urls    map[string]string

	mu      sync.Mutex
	pools   map[poolKey]*sharedPool
	signers map[string]*signer // kept without users too: a key that is used again still has its token
	closed  bool
}

// sharedPool is a pool with the number of its clients; it is closed when there
// are none.
type sharedPool struct {
	*pool
	users int
}

type poolKey struct {
	environment string
	key         string
}

// NewPools checks the configuration; it makes no connection.
func NewPools(c PoolsConfig) (*Pools, error) {
	setDefault(&c.ProductionURL, DefaultProductionURL)
	setDefault(&c.SandboxURL, DefaultSandboxURL)
	setDefault(&c.DialTimeout, 2*time.Second)
	setDefault(&c.MaxConns, 4)
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Pools{config: c, dialers: map[string]*dialer{}, urls: map[string]string{}, pools: map[poolKey]*sharedPool{}, signers: map[string]*signer{}}
	var problems error
	for environment, text := range map[string]string{Production: c.ProductionURL, Sandbox: c.SandboxURL} {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			problems = errors.Join(problems, fmt.Errorf("the URL of APNs for %s must be https://host[:port], such as %s", environment, DefaultProductionURL))
			continue
		}
		port := u.Port()
		setDefault(&port, "443")
		p.urls[environment] = "https://" + u.Host
		p.dialers[environment] = newDialer(u.Hostname()+":"+port, c.RootCAs, c.DialTimeout)
	}
	if problems != nil {
		return nil, problems
	}
	return p, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// of returns the pool of a key in an environment, until it is released.
func (p *Pools) of(environment string, key Key) *pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := poolKey{environment, key.id()}
	open := p.pools[k]
	if open == nil {
		open = &sharedPool{pool: newPool(p.dialers[environment], p.config.MaxConns)}
		if p.closed {
			open.close()
		}
		p.pools[k] = open
	}
	open.users++
	return open.pool
}

// release gives a pool up.
func (p *Pools) release(environment string, key Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := poolKey{environment, key.id()}
	if open := p.pools[k]; open != nil {
		if open.users--; open.users == 0 {
			delete(p.pools, k)
			open.close()
		}
	}
}

// signer returns the signer of a key.
func (p *Pools) signer(key Key) *signer {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.signers[key.id()]
	if s == nil {
		s = &signer{key: key, now: p.config.Now}
		p.signers[key.id()] = s
	}
	return s
}

// URL is the address of an environment; "" for an unknown one.
func (p *Pools) URL(environment string) string { return p.urls[environment] }

// Close ends all connections, each when its requests under way have ended.
func (p *Pools) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, open := range p.pools {
		open.close()
	}
}
