package pushkitsim_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

type callback struct {
	header http.Header
	body   []byte
}

type status struct {
	BiTag, AppPackageName, Token, RequestID string
	PushType                                int
	DeliveryStatus                          struct {
		Result    int
		Timestamp int64
	}
}

// receiver answers callbacks with answer and hands them out.
func receiver(t *testing.T, answer string) (url string, got <-chan callback) {
	t.Helper()
	ch := make(chan callback, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		ch <- callback{r.Header.Clone(), body}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/receipts", ch
}

const taken = `{"code":"0","message":"success"}`

func (b *bench) receipts(c pushkitsim.ReceiptConfig) {
	b.Helper()
	if err := b.sim.SetReceipts(c); err != nil {
		b.Fatal(err)
	}
}

func next(t *testing.T, got <-chan callback) (callback, []status) {
	t.Helper()
	select {
	case c := <-got:
		var body struct{ Statuses []status }
		if err := json.Unmarshal(c.body, &body); err != nil {
			t.Fatal(err)
		}
		return c, body.Statuses
	case <-time.After(20 * time.Second):
		t.Fatal("no callback came")
		return callback{}, nil
	}
}

func TestReceiptBody(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	url, got := receiver(t, taken)
	b.receipts(pushkitsim.ReceiptConfig{URL: url})
	r := b.build()
	r.body = exampleBody
	b.wantSend(r, 200, accepted)
	c, _ := next(t, got)
	if want := `{"statuses":[{"biTag":"0192f0c4-8a10-7c55-8d21-0b9f8e6a4c02","pushType":10,"appPackageName":"com.example.voip","token":"MAMzLgFixtureToken0001","requestId":"176120040012300000000001","deliveryStatus":{"result":0,"timestamp":1761200400123}}]}`; string(c.body) != want {
		t.Errorf("body %s\nwant %s", c.body, want)
	}
	equal(t, c.header.Get("Content-Type"), "application/json")
	if c.header.Get("X-HUAWEI-CALLBACK-ID") != "" {
		t.Error("signed without a user and a secret")
	}
}

var callbackForm = regexp.MustCompile(`^timestamp=([0-9]{13}); nonce=([0-9a-f-]{36}); value=([A-Za-z0-9+/=]{44})$`)

func TestReceiptSignature(t *testing.T) {
	t.Parallel()
	secret := base64.StdEncoding.EncodeToString([]byte("thirty-two bytes of secret, here"))
	for mode, key := range map[string][]byte{"base64": []byte("thirty-two bytes of secret, here"), "": []byte("thirty-two bytes of secret, here"), "raw": []byte(secret)} {
		b := start(t, pushkitsim.Options{})
		url, got := receiver(t, taken)
		b.control("PUT", "/sim/receipts", fmt.Sprintf(`{"url":%q,"user":"relay","secret":%q,"key_mode":%q,"duplicate":true}`, url, secret, mode), 200, nil)
		b.wantSend(b.build(), 200, accepted)
		nonces := map[string]bool{}
		for range 2 { // the duplicate is signed anew
			c, _ := next(t, got)
			m := callbackForm.FindStringSubmatch(c.header.Get("X-HUAWEI-CALLBACK-ID"))
			if m == nil {
				t.Fatalf("header %q", c.header.Get("X-HUAWEI-CALLBACK-ID"))
			}
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(m[1] + m[2] + "relay"))
			if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); m[3] != want {
				t.Errorf("key mode %q: signature %s, want %s", mode, m[3], want)
			}
			nonces[m[2]] = true
		}
		equal(t, len(nonces), 2)
	}
}

func result(n int) *int { return &n }

// TestReceiptResults: by the token's state, or as scripted for it.
func TestReceiptResults(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	url, got := receiver(t, taken)
	tokens := make([]string, 6)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("MAMzLgFixtureToken%04d", i)
	}
	b.setToken(tokens[1], pushkitsim.Token{State: pushkitsim.Dead})
	b.setToken(tokens[2], pushkitsim.Token{State: pushkitsim.Dead, Receipt: result(5)})
	b.setToken(tokens[3], pushkitsim.Token{Receipt: result(188)})
	b.setToken(tokens[4], pushkitsim.Token{State: pushkitsim.Offline})
	b.setToken(tokens[5], pushkitsim.Token{Receipt: result(27)})
	b.receipts(pushkitsim.ReceiptConfig{URL: url})
	b.wantSend(b.build(tokens...), 200, accepted)
	_, list := next(t, got)
	results := map[string]int{}
	for _, s := range list {
		results[s.Token] = s.DeliveryStatus.Result
	}
	equal(t, results, map[string]int{tokens[0]: 0, tokens[1]: 2, tokens[2]: 5, tokens[3]: 188, tokens[5]: 27})
	b.wantDeliveries(tokens[3], 0)
	b.wantDeliveries(tokens[5], 1)

	// The offline one tells when it was reached, at that time.
	b.clock.Advance(20 * time.Second)
	b.setToken(tokens[4], pushkitsim.Token{})
	_, list = next(t, got)
	if len(list) != 1 || list[0].Token != tokens[4] || list[0].DeliveryStatus.Result != 0 || list[0].DeliveryStatus.Timestamp != b.clock.Now().UnixMilli() {
		t.Errorf("receipts %+v, want one of the reconnected token", list)
	}
}

func TestReceiptOfOverwritten(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	url, got := receiver(t, taken)
	b.receipts(pushkitsim.ReceiptConfig{URL: url})
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Offline})
	for range pushkitsim.OfflineCache + 1 {
		b.wantSend(b.build(), 200, accepted)
	}
	_, list := next(t, got)
	oldest := b.sim.Messages("", 0)[0].RequestID
	if len(list) != 1 || list[0].DeliveryStatus.Result != 15 || list[0].RequestID != oldest {
		t.Errorf("receipts %+v, want 15 for %s", list, oldest)
	}
}

func TestReceiptBatchesAndOrder(t *testing.T) {
	t.Parallel()
	const n = 250
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("MAMzLgFixtureToken%04d", i)
	}
	for _, reorder := range []bool{false, true} {
		b := start(t, pushkitsim.Options{})
		url, got := receiver(t, taken)
		b.receipts(pushkitsim.ReceiptConfig{URL: url, Reorder: reorder})
		b.wantSend(b.build(tokens...), 200, accepted)
		var sizes []int
		var order []string
		for len(order) < n {
			_, list := next(t, got)
			sizes = append(sizes, len(list))
			for _, s := range list {
				order = append(order, s.Token)
			}
		}
		equal(t, sizes, []int{100, 100, 50})
		for i, token := range order {
			want := tokens[i]
			if reorder {
				want = tokens[n-1-i]
			}
			if token != want {
				t.Fatalf("reorder %v: receipt %d is of %s, want %s", reorder, i, token, want)
			}
		}
	}
}

func TestReceiptDelay(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	url, got := receiver(t, taken)
	b.receipts(pushkitsim.ReceiptConfig{URL: url, DelayMS: 80})
	began := time.Now()
	b.wantSend(b.build(), 200, accepted)
	next(t, got)
	if took := time.Since(began); took < 80*time.Millisecond {
		t.Errorf("came after %v, want 80 ms or more", took)
	}
}

// TestReceiptsOff: by default, after DELETE, and for widgets.
func TestReceiptsOff(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	url, got := receiver(t, taken)
	b.wantSend(b.build("MAMzLgFixtureToken0007"), 200, accepted)
	b.receipts(pushkitsim.ReceiptConfig{URL: url})
	b.control("DELETE", "/sim/receipts", "", 204, nil)
	b.wantSend(b.build("MAMzLgFixtureToken0008"), 200, accepted)
	b.receipts(pushkitsim.ReceiptConfig{URL: url})
	widget := b.build("MAMzLgFixtureToken0009")
	widget.pushType = "1"
	b.wantSend(widget, 200, accepted)
	b.wantSend(b.build(token1), 200, accepted)
	if _, list := next(t, got); len(list) != 1 || list[0].Token != token1 {
		t.Errorf("receipts %+v, want only the last", list)
	}
}

// TestReceiptRefused: an answer that is not code 0 is counted, and not retried.
func TestReceiptRefused(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	url, got := receiver(t, `{"code":"1"}`)
	b.receipts(pushkitsim.ReceiptConfig{URL: url})
	b.wantSend(b.build(), 200, accepted)
	next(t, got)
	deadline := time.Now().Add(20 * time.Second)
	for b.sim.ReceiptStats().Failed == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // the count follows the answer
	}
	s := b.sim.ReceiptStats()
	equal(t, []int{s.Pending, s.Sent, s.Failed, len(s.Posts), len(got)}, []int{0, 0, 1, 1, 0})
	if s.Posts[0].Status != 200 || s.Posts[0].Error == "" {
		t.Errorf("post %+v", s.Posts[0])
	}
}
