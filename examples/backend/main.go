// Command backend is a complete small VoIP backend: it takes SIP-like calls over
// HTTP, has relay ring the callee, and hears by webhooks what becomes of it.
//
//	URL=http://127.0.0.1:8080 KEY=rk_… go run ./examples/backend
//	curl -N 127.0.0.1:9000/invite -d '{"call_id": "sip-1", "from": "u1", "to": "demo-user"}'
//
// It needs nothing but Go's standard library. The same in JavaScript is
// backend.mjs, and in Python backend.py.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// event is what this backend needs of an event.
type event struct {
	Type string `json:"type"`
	Call struct {
		ID        string `json:"id"`
		Ref       string `json:"ref"`
		Status    string `json:"status"`
		EndReason string `json:"end_reason"`
	} `json:"call"`
}

// finals are the SIP answers to calls that nobody answered.
var finals = map[string]string{
	"rejected": "603 Decline", "busy": "486 Busy Here", "missed": "480 Temporarily Unavailable", "unreachable": "480 Temporarily Unavailable",
	"canceled": "487 Request Terminated", "failed": "500 Server Internal Error", "completed": "200 OK",
}

type backend struct {
	relay, key string
	secret     []byte

	mu      sync.Mutex
	waiting map[string]chan event // by our own id of the call, which relay keeps as ref
	calls   map[string]string     // relay's id of each
}

func main() {
	log.SetFlags(0)
	b := &backend{relay: os.Getenv("URL"), key: os.Getenv("KEY"), waiting: map[string]chan event{}, calls: map[string]string{}}
	if b.relay == "" || b.key == "" {
		log.Fatal("set URL and KEY, as relay dev prints them")
	}
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "127.0.0.1:9000"))
	if err != nil {
		log.Fatal(err)
	}
	self := "http://" + listener.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /invite", b.invite)
	mux.HandleFunc("POST /bye", b.bye)
	mux.HandleFunc("POST /events", b.hear)

	var hook struct{ ID, Secret string }
	err = b.ask(context.Background(), "POST", "/v1/webhooks", map[string]any{
		"url": self + "/events", "types": []string{"call.ringing", "call.answered", "call.ended"}, "description": "the example backend",
	}, &hook)
	if err != nil {
		log.Fatal(err)
	}
	if b.secret, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(hook.Secret, "whsec_")); err != nil {
		log.Fatal(err)
	}
	stopped, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: mux}
	go func() {
		<-stopped.Done()
		if err := b.ask(context.Background(), "DELETE", "/v1/webhooks/"+hook.ID, nil, nil); err != nil {
			log.Print(err)
		}
		_ = server.Close()
	}()
	fmt.Println("listening on", self)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// invite answers as a SIP server would: provisional answers as they come, then
// the final one. A caller that hangs up before it cancels the call.
func (b *backend) invite(w http.ResponseWriter, r *http.Request) {
	var in struct {
		CallID   string `json:"call_id"`
		From, To string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.CallID == "" {
		http.Error(w, "400 Bad Request", http.StatusBadRequest)
		return
	}
	told := make(chan event, 10)
	b.mu.Lock()
	b.waiting[in.CallID] = told // before the call exists: its events may come before the answer
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.waiting, in.CallID)
	}()
	say := func(line string) {
		fmt.Fprintf(w, "SIP/2.0 %s\n", line)
		_ = http.NewResponseController(w).Flush()
	}
	say("100 Trying")
	var e event
	// The same Idempotency-Key makes the same call: an INVITE may come twice.
	if err := b.ask(r.Context(), "POST", "/v1/calls", map[string]any{
		"ref": in.CallID, "caller": map[string]any{"user_id": in.From}, "callee": map[string]any{"user_id": in.To}, "media": "voice",
	}, &e.Call, "Idempotency-Key", in.CallID); err != nil {
		log.Print(err)
		say("500 Server Internal Error")
		return
	}
	id := e.Call.ID
	b.mu.Lock()
	b.calls[in.CallID] = id
	b.mu.Unlock()
	for e.Call.Status != "ended" {
		select {
		case e = <-told:
		case <-r.Context().Done():
			if err := b.ask(context.Background(), "POST", "/v1/calls/"+id+"/cancel", nil, nil); err != nil {
				log.Print(err)
			}
			return
		}
		switch e.Type {
		case "call.ringing":
			say("180 Ringing")
		case "call.answered":
			say("200 OK")
			return
		}
	}
	say(finals[e.Call.EndReason])
}

// bye ends a call.
func (b *backend) bye(w http.ResponseWriter, r *http.Request) {
	var in struct {
		CallID string `json:"call_id"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in) // "" is no call
	b.mu.Lock()
	id := b.calls[in.CallID]
	delete(b.calls, in.CallID)
	b.mu.Unlock()
	if id == "" {
		http.Error(w, "SIP/2.0 481 Call/Transaction Does Not Exist", http.StatusNotFound)
		return
	}
	if err := b.ask(r.Context(), "POST", "/v1/calls/"+id+"/end", nil, nil); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintln(w, "SIP/2.0 200 OK")
}

// hear takes a webhook. It answers 204 at once, whether or not the event is news
// to it: relay sends an event again until it is taken.
func (b *backend) hear(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || !b.signed(r.Header, body) {
		http.Error(w, "the signature is not good", http.StatusUnauthorized)
		return
	}
	var delivery struct{ Data event }
	if err := json.Unmarshal(body, &delivery); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	told := b.waiting[delivery.Data.Call.Ref]
	b.mu.Unlock()
	if told != nil {
		select {
		case told <- delivery.Data:
		default: // the caller has left, or was told already
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// signed checks a webhook's signature and age (Standard Webhooks).
func (b *backend) signed(h http.Header, body []byte) bool {
	at, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if age := time.Since(time.Unix(at, 0)); err != nil || age > 5*time.Minute || age < -5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, b.secret)
	fmt.Fprintf(mac, "%s.%d.%s", h.Get("webhook-id"), at, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for one := range strings.FieldsSeq(h.Get("webhook-signature")) { // several, while the secret is changed
		if hmac.Equal([]byte(one), []byte(want)) {
			return true
		}
	}
	return false
}

// ask asks relay; headers come in pairs.
func (b *backend) ask(ctx context.Context, method, path string, in, out any, headers ...string) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, b.relay+path, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, out)
}
