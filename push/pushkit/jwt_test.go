package pushkit_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit"
)

const audience = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"

func TestJWT(t *testing.T) {
	t.Parallel()
	clk := newClock()
	v := newVendor(t, accept)
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.Now = clk.now })
	clk.advance(7 * time.Minute)
	if a := c.Send(t.Context(), message()); a.Outcome != push.Accepted {
		t.Fatalf("%+v", a)
	}
	text, ok := strings.CutPrefix(v.requests()[0].Header.Get("Authorization"), "Bearer ")
	if !ok {
		t.Fatal("no bearer")
	}
	token, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return testKey().Public(), nil },
		jwt.WithValidMethods([]string{"PS256"}), jwt.WithTimeFunc(clk.now), jwt.WithIssuedAt(), jwt.WithExpirationRequired())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"alg": "PS256", "typ": "JWT", "kid": testKeyID}, token.Header); diff != "" {
		t.Error(diff)
	}
	iat := float64(newClock().now().Unix())
	want := jwt.MapClaims{"iss": testAccount, "aud": audience, "iat": iat, "exp": iat + 3600}
	if diff := cmp.Diff(want, token.Claims); diff != "" {
		t.Error(diff)
	}
}

func TestJWTIsSharedAndRefreshedAt50Minutes(t *testing.T) {
	t.Parallel()
	clk := newClock()
	v := newVendor(t, accept)
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.Now = clk.now })
	sendMany(t, c, 20)
	clk.advance(50*time.Minute - time.Second)
	sendMany(t, c, 20)
	if n := len(v.bearers()); n != 1 {
		t.Fatalf("%d JWTs before 50 minutes", n)
	}
	clk.advance(time.Second)
	sendMany(t, c, 50) // while one signs, the others may go on with the old one
	if n := len(v.bearers()); n != 2 {
		t.Errorf("%d JWTs at 50 minutes, want one more", n)
	}
	sendMany(t, c, 20)
	clk.advance(3 * time.Hour) // none was valid for a long time
	sendMany(t, c, 50)
	if n := len(v.bearers()); n != 3 {
		t.Errorf("%d JWTs after it expired, want one more", n)
	}
	clk.advance(-2 * time.Hour) // the clock is put right: the JWT is of a time to come
	sendMany(t, c, 20)
	if n := len(v.bearers()); n != 4 {
		t.Errorf("%d JWTs after the clock was set back, want one more", n)
	}
}

func sendMany(t *testing.T, c *pushkit.Client, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if a := c.Send(t.Context(), message()); a.Outcome != push.Accepted {
				t.Errorf("%+v", a)
			}
		})
	}
	wg.Wait()
}

func TestRefusedJWTIsRenewedOnceForAll(t *testing.T) {
	t.Parallel()
	const senders = 20
	for name, refuse := range map[string]http.HandlerFunc{
		"80200001": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusUnauthorized, "80200001", "Authentication Error.")
		},
		"80200005": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusOK, "80200005", "Jwt token expired.")
		},
		"401": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var arrived atomic.Int32
			all := make(chan struct{})
			v := newVendor(t, func(w http.ResponseWriter, r *http.Request) {
				n := arrived.Add(1)
				if n > senders {
					accept(w, r)
					return
				}
				if n == senders {
					close(all)
				}
				<-all // each of them is under way with the same JWT
				refuse(w, r)
			})
			c := newClient(t, v.URL, nil)
			var wg sync.WaitGroup
			for range senders {
				wg.Go(func() {
					a := c.Send(t.Context(), message())
					if a.Outcome != push.Unauthenticated || a.Retry != push.RetryOnce {
						t.Errorf("%+v", a)
					}
				})
			}
			wg.Wait()
			sendMany(t, c, senders)
			if got := v.bearers(); len(got) != 2 {
				t.Errorf("%d JWTs, want the refused one and one more", len(got))
			}
			if n := len(v.requests()); n != 2*senders {
				t.Errorf("%d requests for %d sends", n, 2*senders)
			}
		})
	}
}

func TestRefusedCredentialIsNotSignedAgainForEachCall(t *testing.T) {
	t.Parallel()
	clk := newClock()
	var good atomic.Bool
	v := newVendor(t, func(w http.ResponseWriter, r *http.Request) {
		if good.Load() {
			accept(w, r)
			return
		}
		reply(w, http.StatusUnauthorized, "80200001", "Authentication Error.")
	})
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.Now, c.RenewEvery = clk.now, time.Minute })
	send := func(want push.Retry) {
		t.Helper()
		if a := c.Send(t.Context(), message()); a.Outcome != push.Unauthenticated || a.Retry != want {
			t.Errorf("%+v, want retry %s", a, want)
		}
	}
	send(push.RetryOnce) // renewed
	send(push.RetryNever)
	send(push.RetryNever)
	clk.advance(time.Minute)
	send(push.RetryOnce)
	send(push.RetryNever)
	if n := len(v.bearers()); n != 3 {
		t.Errorf("%d JWTs used, want the first, the renewed and the one of a minute later", n)
	}
	good.Store(true)
	sendMany(t, c, 1) // the renewed one works
	good.Store(false)
	send(push.RetryOnce) // so it is worth renewing at once
}
