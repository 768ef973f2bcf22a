package webhook

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "172.15.255.255": true, "172.32.0.0": true, "100.63.255.255": true, "192.0.1.1": true,
		"127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "10.1.2.3": false, "100.64.0.1": false, "100.100.100.200": false,
		"169.254.169.254": false, "168.63.129.16": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.192": false, "192.168.1.1": false,
		"198.18.0.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"2606:4700:4700::1111": true, "2a00:1450:4001::1": true,
		"::": false, "::1": false, "::7f00:1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "fc00::1": false, "fd00:ec2::254": false,
		"ff02::1": false, "2001::1": false, "2001:db8::1": false, "100::1": false, "3fff::1": false, "::ffff:0:127.0.0.1": false,
		"::ffff:127.0.0.1": false, "::ffff:7f00:1": false, "::ffff:169.254.169.254": false, "::ffff:8.8.8.8": true, // mapped
		"64:ff9b::127.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::10.0.0.1": false, "64:ff9b::8.8.8.8": true, // NAT64
		"64:ff9b:1::127.0.0.1": false, "64:ff9b:1::8.8.8.8": false, // of local use
		"2002:7f00:1::": false, "2002:c0a8:101::1": false, "2002:a9fe:a9fe::": false, "2002:808:808::1": true, // 6to4
	} {
		a := netip.MustParseAddr(text)
		if got := (Guard{}).Check(a, false) == nil; got != want {
			t.Errorf("%s: public is %v, want %v", text, got, want)
		}
		if (Guard{}).Check(a, true) == nil {
			t.Errorf("%s may be dialled without TLS", text)
		}
	}
}

func TestAllowedNetworks(t *testing.T) {
	t.Parallel()
	g := Guard{Allow: prefixes("10.7.0.0/16", "::1/128")}
	for text, want := range map[string]bool{"10.7.1.2": true, "::ffff:10.7.1.2": true, "10.8.0.1": false, "::1": true, "::2": false, "127.0.0.1": false} {
		for _, insecure := range []bool{false, true} {
			if got := g.Check(netip.MustParseAddr(text), insecure) == nil; got != want {
				t.Errorf("%s, without TLS %v: %v, want %v", text, insecure, got, want)
			}
		}
	}
	if g.Check(netip.MustParseAddr("8.8.8.8"), true) == nil {
		t.Error("a public address may be dialled without TLS")
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	inside := Guard{Allow: prefixes("127.0.0.0/8", "::1/128")}
	for _, tc := range []struct {
		url           string
		out, atInside bool
	}{
		{"https://example.com/hooks?a=b", true, true},
		{"https://example.com:8443", true, true},
		{"https://8.8.8.8/", true, true},
		{"https://[2606:4700:4700::1111]/", true, true},
		{"https://xn--fiq228c.example/", true, true},
		{"http://example.com/", false, true}, // its address decides when it is dialled
		{"http://8.8.8.8/", false, false},
		{"http://127.0.0.1:8080/", false, true},
		{"https://127.0.0.1/", false, true},
		{"https://localhost/", false, true},
		{"https://LocalHost./", false, true},
		{"https://a.localhost/", false, true},
		{"http://[::1]/", false, true},
		{"https://[::ffff:127.0.0.1]/", false, true},
		{"https://[::ffff:10.0.0.1]/", false, false},
		{"https://[64:ff9b::7f00:1]/", false, false},
		{"https://169.254.169.254/latest/meta-data", false, false},
		{"https://2130706433/", false, false},
		{"https://0x7f000001/", false, false},
		{"https://0X7F.1/", false, false},
		{"https://017700000001/", false, false},
		{"https://0177.0.0.1/", false, false},
		{"https://127.1/", false, false},
		{"https://127.0.0.1./", false, true},
		{"https://example.1/", false, false},
		{"ftp://example.com/", false, false},
		{"https://user:pass@example.com/", false, false},
		{"https://user@example.com/", false, false},
		{"https://example.com/#top", false, false},
		{"https://example.com/#", false, false},
		{"https:///path", false, false},
		{"https://:443/", false, false},
		{"https:example.com", false, false},
		{"//example.com/", false, false},
		{"https://exa mple.com/", false, false},
		{"", false, false},
	} {
		for guard, want := range map[*Guard]bool{{}: tc.out, &inside: tc.atInside} {
			err := guard.CheckURL(tc.url)
			var wrong *URLError
			if (err == nil) != want || err != nil && !errors.As(err, &wrong) {
				t.Errorf("%q with %v allowed: %v, want good: %v", tc.url, guard.Allow, err, want)
			}
		}
	}
}

// FuzzCheckURL: what is taken for a public endpoint is https, names no address that
// is not public, and says the same when it is written anew.
func FuzzCheckURL(f *testing.F) {
	for _, url := range []string{"https://example.com/hooks?a=b", "https://8.8.8.8:443/", "https://[2606:4700:4700::1111]/", "https://[::ffff:7f00:1]", "https://0x7f.1", "https://a.localhost.", "http://example.com", "https://u@example.com/#x"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if (Guard{}).CheckURL(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Hostname() == "" {
			t.Fatalf("%q is taken: %+v, %v", text, u, err)
		}
		if a, err := netip.ParseAddr(strings.TrimSuffix(u.Hostname(), ".")); err == nil && !public(plain(a)) {
			t.Errorf("%q is taken, which names %s", text, a)
		}
		if err := (Guard{}).CheckURL(u.String()); err != nil {
			t.Errorf("%q is taken, and %q is not: %v", text, u, err)
		}
	})
}

// TestTLS: over TLS the certificate must be good, and HTTP/2 is spoken where the
// endpoint does.
func TestTLS(t *testing.T) {
	t.Parallel()
	var proto atomic.Value
	receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { proto.Store(r.Proto) }))
	receiver.EnableHTTP2 = true
	receiver.Config.ErrorLog = log.New(io.Discard, "", 0)
	receiver.StartTLS()
	t.Cleanup(receiver.Close)
	client := Guard{Allow: prefixes("127.0.0.0/8")}.client(5 * time.Second)
	if resp, err := client.Get(receiver.URL); err == nil {
		_ = resp.Body.Close()
		t.Error("an unknown authority is believed")
	}
	client.Transport.(byScheme).https.TLSClientConfig.RootCAs = receiver.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	resp, err := client.Get(receiver.URL)
	if err != nil || proto.Load() != "HTTP/2.0" {
		t.Fatalf("%v, %v", err, proto.Load())
	}
	_ = resp.Body.Close()
}

// names is a name server on loopback that answers each question for a name with
// the next of its addresses, and then with the last one.
type names struct {
	mu      sync.Mutex
	answers []string
	asked   int
}

func (n *names) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if reply, err := n.reply(b[:size]); err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (n *names) reply(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		n.mu.Lock()
		answer := n.answers[min(n.asked, len(n.answers)-1)]
		n.asked++
		n.mu.Unlock()
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(answer).As4()},
		}}
	}
	return m.Pack()
}

// TestRebinding: a name that is public when it is looked at and loopback when it
// is dialled is not dialled.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(receiver.Close)
	_, port, _ := net.SplitHostPort(receiver.Listener.Addr().String())
	n := &names{answers: []string{"192.0.1.1", "127.0.0.1"}}
	resolver := n.resolver(t)
	found, err := resolver.LookupNetIP(t.Context(), "ip4", "rebinds.example")
	if err != nil || len(found) != 1 || (Guard{}).Check(found[0], false) != nil {
		t.Fatalf("the first look finds %v, %v; want a public address", found, err)
	}
	for _, scheme := range []string{"https", "http"} {
		for _, host := range []string{"rebinds.example", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0177.0.0.1", "localhost"} {
			resp, err := Guard{Resolver: resolver}.client(time.Second).Get(scheme + "://" + net.JoinHostPort(strings.Trim(host, "[]"), port))
			if err == nil {
				_ = resp.Body.Close()
			}
			// Go's own resolver takes no number for a name; the system's may take it for an address.
			if err == nil || !errors.Is(err, ErrAddress) && !numeric(host) {
				t.Errorf("%s://%s: %v, want it refused", scheme, host, err)
			}
		}
	}
	if reached.Load() != 0 {
		t.Error("the receiver on loopback was reached")
	}
	resp, err := Guard{Resolver: resolver, Allow: prefixes("127.0.0.0/8")}.client(5 * time.Second).Get("http://" + net.JoinHostPort("rebinds.example", port))
	if err != nil || resp.StatusCode != http.StatusOK || reached.Load() != 1 {
		t.Fatalf("where loopback is allowed: %v", err)
	}
	_ = resp.Body.Close()
}

// TestRedirectsAreNotFollowed, not even to an allowed address; and no proxy is used.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var reached atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(target.Close)
	t.Setenv("HTTP_PROXY", target.URL)
	t.Setenv("http_proxy", target.URL)
	for _, status := range []int{301, 302, 303, 307, 308} {
		receiver := httptest.NewServer(http.RedirectHandler(target.URL, status))
		resp, err := Guard{Allow: prefixes("127.0.0.0/8")}.client(5*time.Second).Post(receiver.URL, "application/json", strings.NewReader("{}"))
		receiver.Close()
		if err != nil || resp.StatusCode != status {
			t.Fatalf("%d: %v, %v", status, resp, err)
		}
		_ = resp.Body.Close()
	}
	if reached.Load() != 0 {
		t.Error("a redirect was followed, or a proxy used")
	}
}
