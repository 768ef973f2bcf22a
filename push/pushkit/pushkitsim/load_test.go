package pushkitsim_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// TestConcurrency sends, polls, reports and changes everything at once. Each
// message that was accepted for a token must be delivered once.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{Now: time.Now})
	b.clock.Advance(time.Since(b.clock.Now()))
	url, _ := receiver(t, taken)
	b.receipts(pushkitsim.ReceiptConfig{URL: url})
	const senders, each = 8, 25
	var sending, rest sync.WaitGroup
	stop := make(chan struct{})
	until := func(f func(i int)) {
		rest.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					f(i)
				}
			}
		})
	}
	noise := "MAMzLgFixtureNoise0001"
	until(func(i int) {
		states := []pushkitsim.TokenState{pushkitsim.Alive, pushkitsim.Dead, pushkitsim.Offline}
		if err := b.sim.SetToken(noise, pushkitsim.Token{State: states[i%3]}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Millisecond)
	})
	until(func(int) {
		b.addProject(pushkitsim.Project{ID: "other"})
		if err := b.sim.SetFaults(pushkitsim.Fault{Token: noise, DeliveryDelayMS: 1, Count: 3}); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Millisecond)
	})
	until(func(int) {
		b.sim.Messages(token1, 0)
		b.sim.ReceiptStats()
		time.Sleep(time.Millisecond)
	})
	for s := range senders {
		token := fmt.Sprintf("MAMzLgFixtureToken%04d", s)
		sending.Go(func() {
			for range each {
				if status, body, err := b.try(b.build(token, noise)); err != nil || status != 200 {
					t.Errorf("answer %d %s %v", status, body, err)
				}
			}
		})
		rest.Go(func() {
			seen := 0
			for after := int64(0); seen < each; {
				got := b.sim.Deliveries(t.Context(), []string{token}, after, 20*time.Second)
				if len(got) == 0 {
					t.Errorf("%s: %d deliveries, want %d", token, seen, each)
					return
				}
				for _, d := range got {
					if d.N <= after || d.Token != token {
						t.Errorf("%s: delivery %+v after %d", token, d, after)
					}
					after = d.N
					seen++
				}
			}
		})
	}
	sending.Wait()
	close(stop)
	rest.Wait()
	if n := len(b.sim.Messages("", 0)); n != senders*each {
		t.Errorf("%d messages recorded, want %d", n, senders*each)
	}
}

// TestCloseUnderPoll: Close ends long polls.
func TestCloseUnderPoll(t *testing.T) {
	t.Parallel()
	s := pushkitsim.New(pushkitsim.Options{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Deliveries(t.Context(), nil, 0, time.Minute)
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the poll did not end")
	}
}

// BenchmarkSend is the handler alone, with one JWT as a sender would use it.
func BenchmarkSend(b *testing.B) {
	s := pushkitsim.New(pushkitsim.Options{})
	defer s.Close()
	key, public := testKey()
	if err := s.AddProject(pushkitsim.Project{ID: projectID, SubAccount: subAccount, KeyID: keyID, PublicKey: public}); err != nil {
		b.Fatal(err)
	}
	auth := "Bearer " + testJWT(key)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest(http.MethodPost, "/v3/"+projectID+"/messages:send", strings.NewReader(exampleBody))
			r.Header.Set("Authorization", auth)
			r.Header.Set("push-type", "10")
			w := httptest.NewRecorder()
			if s.ServeHTTP(w, r); w.Code != http.StatusOK {
				b.Errorf("answer %d %s", w.Code, w.Body)
				return
			}
		}
	})
}

// BenchmarkSendSocket is the same over loopback connections.
func BenchmarkSendSocket(b *testing.B) {
	s := pushkitsim.New(pushkitsim.Options{})
	defer s.Close()
	url, err := s.Start("")
	if err != nil {
		b.Fatal(err)
	}
	key, public := testKey()
	if err := s.AddProject(pushkitsim.Project{ID: projectID, SubAccount: subAccount, KeyID: keyID, PublicKey: public}); err != nil {
		b.Fatal(err)
	}
	auth := "Bearer " + testJWT(key)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := http.NewRequest(http.MethodPost, url+"/v3/"+projectID+"/messages:send", strings.NewReader(exampleBody))
			if err != nil {
				b.Error(err)
				return
			}
			r.Header.Set("Authorization", auth)
			r.Header.Set("push-type", "10")
			resp, err := client.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("answer %d", resp.StatusCode)
				return
			}
		}
	})
}
