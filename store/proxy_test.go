package store_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a store and Postgres and fails as networks do.
type proxy struct {
	t       testing.TB
	to      string // the server's socket
	dir     string
	url     string
	swallow atomic.Bool // the answer to the next COMMIT, and the connection with it

	mu       sync.Mutex
	listener net.Listener // nil while the database is away
	conns    map[net.Conn]struct{}
	all      sync.WaitGroup
}

func newProxy(t testing.TB, database string) *proxy {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "px") // a short path: a socket's is limited
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	p := &proxy{t: t, to: filepath.Join(q.Get("host"), ".s.PGSQL."+q.Get("port")), dir: dir, conns: map[net.Conn]struct{}{}}
	q.Set("host", dir)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	p.url = u.String()
	p.back()
	t.Cleanup(func() {
		p.away()
		p.all.Wait()
		_ = os.RemoveAll(dir)
	})
	return p
}

// back lets the database be reached.
func (p *proxy) back() {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := net.Listen("unix", filepath.Join(p.dir, filepath.Base(p.to)))
	if err != nil {
		p.t.Fatal(err)
	}
	p.listener = l
	p.all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.all.Go(func() { p.serve(client) })
		}
	})
}

// away cuts every connection and refuses new ones.
func (p *proxy) away() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", p.to)
	if err != nil {
		p.t.Error(err)
		return
	}
	defer server.Close()
	p.mu.Lock()
	gone := p.listener == nil
	p.conns[client] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
	}()
	if gone {
		return
	}
	p.all.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	if err := p.answers(client, server); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrUnexpectedEOF) {
		p.t.Logf("proxy: %v", err) // a broken pipe, as the test wants it
	}
}

// answers passes the server's messages on, each a type, a length and a body.
func (p *proxy) answers(client, server net.Conn) error {
	var head [5]byte
	for {
		if _, err := io.ReadFull(server, head[:]); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return err
		}
		if head[0] == 'C' && string(body) == "COMMIT\x00" && p.swallow.CompareAndSwap(true, false) {
			return nil
		}
		if _, err := client.Write(append(head[:], body...)); err != nil {
			return err
		}
	}
}
