package pushkit_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit"
)

func TestSendIsOneRequestAsBuilt(t *testing.T) {
	t.Parallel()
	v := newVendor(t, accept)
	c := newClient(t, v.URL+"/", nil)
	for _, channel := range []call.Channel{call.PushKitVoIP, call.PushKitAlert} {
		m := message()
		m.Channel = channel
		a := c.Send(t.Context(), m)
		want := push.Answer{
			Outcome: push.Accepted, Retry: push.RetryNever, Blame: call.BlameNone, Token: push.TokenKeep,
			Status: 200, Code: "80000000", Message: "Success", RequestID: "176120040012300000000701",
		}
		if diff := cmp.Diff(want, a); diff != "" {
			t.Error(diff)
		}
		built, err := pushkit.Build(m)
		if err != nil {
			t.Fatal(err)
		}
		got := v.requests()
		last := got[len(got)-1]
		if last.Path != "/v3/"+testProject+"/messages:send" || !bytes.Equal(last.Body, built.Body) {
			t.Errorf("%s %s", last.Path, last.Body)
		}
		for name := range built.Header {
			if last.Header.Get(name) != built.Header.Get(name) {
				t.Errorf("%s: %q", name, last.Header.Get(name))
			}
		}
	}
	if n := len(v.requests()); n != 2 {
		t.Errorf("%d requests for two sends", n)
	}
	if want := v.URL + "/v3/" + testProject + "/messages:send"; c.URL() != want {
		t.Errorf("URL %s", c.URL())
	}
}

func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	n := 0
	v := newVendor(t, func(w http.ResponseWriter, r *http.Request) {
		n++ // sends follow one another
		switch n % 4 {
		case 0:
			accept(w, r)
		case 1:
			reply(w, http.StatusBadRequest, "80300007", "All the tokens are invalid.")
		case 2:
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, strings.Repeat("<html>", 10_000)) // just below the limit
		case 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c := newClient(t, v.URL, nil)
	for range 20 {
		c.Send(t.Context(), message())
	}
	if n := v.connections(); n != 1 || len(v.requests()) != 20 {
		t.Errorf("%d requests over %d connections", len(v.requests()), n)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	v := newVendor(t, accept)
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.MaxConns = 8 })
	sendMany(t, c, 100)
	if n := v.connections(); n > 8 {
		t.Errorf("%d connections", n)
	}
}

func TestHTTP2OverTLS(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	protocols := map[string]int{}
	v := &vendor{conns: map[string]bool{}}
	v.Server = httptest.NewUnstartedServer(v.record(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		protocols[r.Proto]++
		mu.Unlock()
		accept(w, r)
	}))
	v.EnableHTTP2 = true
	v.StartTLS()
	t.Cleanup(v.Close)
	roots := x509.NewCertPool()
	roots.AddCert(v.Certificate())
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.RootCAs = roots })
	sendMany(t, c, 1)
	sendMany(t, c, 100)
	if diff := cmp.Diff(map[string]int{"HTTP/2.0": 101}, protocols); diff != "" {
		t.Error(diff)
	}
	if n := v.connections(); n != 1 {
		t.Errorf("%d connections for streams that fit one", n)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(accept))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	a := newClient(t, s.URL, nil).Send(t.Context(), message())
	noAnswer(t, a, "no answer: the server's certificate is not trusted while connecting")
}

// noAnswer checks the verdict on a send that got none.
func noAnswer(t *testing.T, a push.Answer, messages ...string) {
	t.Helper()
	if diff := cmp.Diff(unavailable(""), verdictOf(a)); diff != "" {
		t.Error(diff)
	}
	for _, m := range messages {
		if a.Message == m {
			return
		}
	}
	t.Errorf("message %q, want one of %q", a.Message, messages)
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		base := "http://" + ln.Addr().String()
		_ = ln.Close()
		noAnswer(t, newClient(t, base, nil).Send(t.Context(), message()), "no answer: connection refused while connecting")
	})
	t.Run("handshake never ends", func(t *testing.T) {
		t.Parallel()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		a := newClient(t, "https://"+ln.Addr().String(), nil).Send(ctx, message())
		noAnswer(t, a, "no answer: timeout while connecting")
	})
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		v := newVendor(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		noAnswer(t, newClient(t, v.URL, nil).Send(ctx, message()), "no answer: timeout while waiting for the answer")
	})
	t.Run("own timeout", func(t *testing.T) {
		t.Parallel()
		v := newVendor(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		c := newClient(t, v.URL, func(c *pushkit.Config) { c.Timeout = 100 * time.Millisecond })
		noAnswer(t, c.Send(t.Context(), message()), "no answer: timeout while waiting for the answer")
	})
	t.Run("canceled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		v := newVendor(t, func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		noAnswer(t, newClient(t, v.URL, nil).Send(ctx, message()), "no answer: canceled while waiting for the answer")
	})
	t.Run("connection closed", func(t *testing.T) {
		t.Parallel()
		first := true
		v := newVendor(t, func(w http.ResponseWriter, r *http.Request) {
			if first {
				first = false
				accept(w, r)
				return
			}
			panic(http.ErrAbortHandler)
		})
		c := newClient(t, v.URL, nil)
		sendMany(t, c, 1)
		// On a connection that worked before, which is where net/http sends some requests again.
		noAnswer(t, c.Send(t.Context(), message()),
			"no answer: connection closed while waiting for the answer", "no answer: connection reset while waiting for the answer")
		if n := len(v.requests()); n != 2 {
			t.Errorf("%d requests for two sends", n)
		}
	})
	t.Run("answer cut off", func(t *testing.T) {
		t.Parallel()
		v := newVendor(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"code":"800`)
		})
		a := newClient(t, v.URL, nil).Send(t.Context(), message())
		noAnswer(t, a, "the answer was cut off: connection closed")
		if a.Status != http.StatusOK {
			t.Errorf("status %d", a.Status)
		}
	})
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		v := newVendor(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", status) })
		a := newClient(t, v.URL, nil).Send(t.Context(), message())
		if diff := cmp.Diff(ours(""), verdictOf(a)); diff != "" || a.Status != status {
			t.Errorf("HTTP %d: %s", a.Status, diff)
		}
		if n := len(v.requests()); n != 1 {
			t.Errorf("HTTP %d: %d requests", status, n)
		}
	}
}

func TestAnswerWithoutEndIsNotReadOn(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat("<html>", 1000)); err != nil {
				return
			}
		}
	})
	a := newClient(t, v.URL, nil).Send(t.Context(), message())
	if diff := cmp.Diff(unavailable(""), verdictOf(a)); diff != "" || a.Status != 200 {
		t.Errorf("HTTP %d: %s", a.Status, diff)
	}
}

func TestWhatCannotBeBuiltIsNotSent(t *testing.T) {
	t.Parallel()
	v := newVendor(t, accept)
	c := newClient(t, v.URL, nil)
	for _, edit := range []func(*push.Message){
		func(m *push.Message) { m.Token = "" },
		func(m *push.Message) { m.Channel = call.APNsVoIP },
		func(m *push.Message) { m.Payload.Callee = strings.Repeat("u", 5000) },
	} {
		m := message()
		edit(&m)
		a := c.Send(t.Context(), m)
		if diff := cmp.Diff(ours(push.NotSent), verdictOf(a)); diff != "" || !strings.HasPrefix(a.Message, "not sent: ") {
			t.Errorf("%q: %s", a.Message, diff)
		}
	}
	if n := len(v.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestSecretsAreNotInAnswersAndLogs(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusUnauthorized, "80200001", fmt.Sprintf("%s is not for %s and %s", r.Header.Get("Authorization"), testToken, legToken))
	})
	var log bytes.Buffer
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	a := c.Send(t.Context(), message())
	if want := "Bearer *** is not for *** and ***"; a.Message != want {
		t.Errorf("message %q, want %q", a.Message, want)
	}
	if !strings.Contains(log.String(), "80200001") {
		t.Errorf("log %q", log.String())
	}
	for _, secret := range []string{testToken, legToken, "Li Na", "Bearer ey"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}
