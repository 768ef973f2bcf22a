package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Guard keeps deliveries away from addresses that a tenant must not reach through
// relay: this machine, the network behind it, and the metadata of its cloud. What
// counts is the address that is really dialled, so a name that resolves to
// something else the second time gains nothing.
type Guard struct {
	// Allow are the networks that are reached all the same, where backends are
	// inside. Only there may an endpoint be spoken to without TLS.
	Allow []netip.Prefix
	// Resolver looks names up; nil means the system's.
	Resolver *net.Resolver
}

// ErrAddress means that an address is not one to deliver to.
var ErrAddress = errors.New("not a public address")

// URLError says why a URL cannot be an endpoint's.
type URLError struct{ Detail string }

func (e *URLError) Error() string { return e.Detail }

// reserved are the IPv4 networks that are nobody's on the public Internet
// (https://www.iana.org/assignments/iana-ipv4-special-registry), and one
// public address at which Azure answers the machines that it hosts.
var reserved = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")

// Of IPv6 only what is global unicast is public (RFC 4291), but for the parts of
// it that are set aside: protocols such as Teredo, and documentation.
var (
	global   = netip.MustParsePrefix("2000::/3")
	setAside = prefixes("2001::/23", "2001:db8::/32", "3fff::/20")
)

// translated are the networks whose addresses stand for an IPv4 address, which
// begins at the byte given: NAT64 (RFC 6052) and 6to4 (RFC 3056). NAT64 of local
// use, 64:ff9b:1::/48, is not global and so is refused as it is.
var translated = []struct {
	network netip.Prefix
	at      int
}{{netip.MustParsePrefix("64:ff9b::/96"), 12}, {netip.MustParsePrefix("2002::/16"), 2}}

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// public reports whether an address is one that anybody may reach.
func public(a netip.Addr) bool {
	if a.Is4() {
		return !within(reserved, a)
	}
	for _, t := range translated {
		if t.network.Contains(a) {
			b := a.As16()
			return public(netip.AddrFrom4([4]byte(b[t.at : t.at+4])))
		}
	}
	return global.Contains(a) && !within(setAside, a)
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// plain is an address without what makes two spellings of it differ.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Check says why an address must not be dialled; ErrAddress, or nil where it may
// be. insecure is for a connection without TLS, which is for allowed networks
// alone.
func (g Guard) Check(a netip.Addr, insecure bool) error {
	a = plain(a)
	if within(g.Allow, a) || !insecure && public(a) {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrAddress, a)
}

// CheckURL says why a URL cannot be an endpoint's, as a *URLError. It looks no
// name up: the address is checked with each delivery.
func (g Guard) CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return &URLError{"must be an address such as https://example.com/hooks"}
	case u.Scheme != "https" && u.Scheme != "http":
		return &URLError{"must be an https address"}
	case u.User != nil:
		return &URLError{"must be without a user and password"}
	case u.Fragment != "" || strings.Contains(text, "#"):
		return &URLError{"must be without a fragment"}
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	insecure := u.Scheme == "http"
	if a, err := netip.ParseAddr(host); err == nil {
		if g.Check(a, insecure) == nil {
			return nil
		}
		if insecure && g.Check(a, false) == nil {
			return &URLError{"must be an https address"}
		}
		return &URLError{"must be a public address, which this is not"}
	}
	switch {
	case numeric(host):
		return &URLError{"must be a name, or an address as in 203.0.113.7"}
	case insecure && len(g.Allow) == 0:
		return &URLError{"must be an https address"}
	case (strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost")) && g.Check(netip.MustParseAddr("127.0.0.1"), false) != nil:
		return &URLError{"must be a public address, which this is not"}
	}
	return nil
}

// numeric reports whether a host is an IPv4 address in another spelling, such as
// 2130706433, 0x7f.1 or 017700000001: some resolvers take them for one
// (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.HasPrefix(strings.ToLower(last), "0x") {
		return strings.Trim(strings.ToLower(last[2:]), "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// dialTimeout bounds a name's lookup and the connection, of the time that one
// request has.
const dialTimeout = 5 * time.Second

// client is an HTTP client that reaches only what the guard allows. It takes no
// proxy from the environment, which would dial in its place, and follows no
// redirect.
func (g Guard) client(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		Transport:     byScheme{https: g.transport(false), http: g.transport(true)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// byScheme sends what goes without TLS another way, on which more is refused.
type byScheme struct{ https, http *http.Transport }

func (b byScheme) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return b.https.RoundTrip(r)
	}
	return b.http.RoundTrip(r)
}

// CloseIdleConnections is what http.Client asks of its transport.
func (b byScheme) CloseIdleConnections() {
	b.https.CloseIdleConnections()
	b.http.CloseIdleConnections()
}

func (g Guard) transport(insecure bool) *http.Transport {
	dialer := &net.Dialer{
		Timeout: dialTimeout, Resolver: g.Resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			a, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("%w: %s", ErrAddress, address)
			}
			return g.Check(a.Addr(), insecure)
		},
	}
	return &http.Transport{
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns: 1024, MaxIdleConnsPerHost: inFlight, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		DisableCompression: true, // an answer is read as it comes, and only its beginning
	}
}

// inFlight is how many requests to one endpoint may be under way.
const inFlight = 32
