package pushkitsim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

type delivered struct {
	Deliveries []pushkitsim.Delivery
	After      int64
}

func callID(t *testing.T, d pushkitsim.Delivery) string {
	t.Helper()
	var data struct{ CallID string }
	if err := json.Unmarshal([]byte(d.Data), &data); err != nil {
		t.Fatal(err)
	}
	if data.CallID == "" {
		t.Fatalf("no callId in %s", d.Data)
	}
	return data.CallID
}

// TestCallbackData holds what an app's callback gets.
func TestCallbackData(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	voip, background, alert := b.build(), b.build(), b.build()
	voip.body = strings.Replace(exampleBody, "Li Na", "Li <Na> & 李", 1)
	background.pushType = "6"
	alert.pushType, alert.body = "0", alertBody
	for _, r := range []request{voip, background, alert} {
		b.wantSend(r, 200, accepted)
	}
	var got delivered
	b.control("GET", "/sim/deliveries?token="+token1, "", 200, &got)
	if len(got.Deliveries) != 3 || got.After != 3 {
		t.Fatalf("got %+v, want three deliveries and the cursor 3", got)
	}
	id := callID(t, got.Deliveries[0])
	if !strings.HasPrefix(id, "pk-") {
		t.Errorf("call id %q", id)
	}
	requests := b.sim.Messages("", 0)
	at := b.clock.Now().UnixMilli()
	equal(t, got.Deliveries, []pushkitsim.Delivery{
		{N: 1, Token: token1, PushType: 10, AtMS: at, Type: "VoIP", RequestID: requests[0].RequestID,
			Data: `{"data":"{\"v\":1,\"cid\":\"0192f0c4-7f6e-7b1a-9b52-3d1c5a0e7f11\",\"to\":\"acct-8841\",\"scene\":\"video\",\"name\":\"Li <Na> & 李\",\"av\":\"a/55\",\"iat\":1761200400,\"exp\":1761200445}","header":{"token":"` + token1 + `"},"callId":"` + id + `"}`},
		{N: 2, Token: token1, PushType: 6, AtMS: at, Type: "BACKGROUND", RequestID: requests[1].RequestID,
			Data: `{"data":"{\"v\":1}","header":{"token":"` + token1 + `"}}`},
		{N: 3, Token: token1, PushType: 0, AtMS: at, Type: "DEFAULT", RequestID: requests[2].RequestID,
			Data: `{"category":"MISS_CALL","title":"Li Na","body":"Missed call","clickAction":{"actionType":0},"appMessageId":"0192f0c4-8a10","notifyId":7}`},
	})
}

func TestDeliveriesByTokenAndCursor(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	const token3 = "MAMzLgFixtureToken0003"
	for _, token := range []string{token1, token2, token3, token1} {
		b.wantSend(b.build(token), 200, accepted)
	}
	for query, want := range map[string][]int64{
		"token=" + token1:                             {1, 4},
		"token=" + token1 + "&after=1":                {4},
		"token=" + token1 + "&after=4":                nil,
		"token=" + token2 + "&token=" + token1:        {1, 2, 4},
		"token=" + token1 + "&token=" + token1:        {1, 4},
		"token=" + token2 + "&token=" + token3:        {2, 3},
		"":                                            {1, 2, 3, 4},
		"after=2":                                     {3, 4},
		"token=MAMzLgFixtureToken0009&after=0&wait=0": nil,
	} {
		var got delivered
		b.control("GET", "/sim/deliveries?"+query, "", 200, &got)
		var ns []int64
		for _, d := range got.Deliveries {
			ns = append(ns, d.N)
		}
		if fmt.Sprint(ns) != fmt.Sprint(want) {
			t.Errorf("%q: deliveries %v, want %v", query, ns, want)
		}
	}
}

func TestLongPoll(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	for _, query := range []string{"token=" + token1 + "&token=" + token2, ""} {
		after := b.sim.Deliveries(t.Context(), nil, 0, 0)
		got := make(chan delivered, 1)
		go func() {
			var d delivered
			b.control("GET", fmt.Sprintf("/sim/deliveries?%s&wait=20&after=%d", query, len(after)), "", 200, &d)
			got <- d
		}()
		b.wantSend(b.build("MAMzLgFixtureToken0009", token2), 200, accepted)
		d := <-got
		if len(d.Deliveries) == 0 || query != "" && d.Deliveries[0].Token != token2 {
			t.Errorf("%q: got %+v", query, d.Deliveries)
		}
	}
	began := time.Now()
	var d delivered
	b.control("GET", "/sim/deliveries?token=MAMzLgFixtureToken0008&wait=1&after=7", "", 200, &d)
	if took := time.Since(began); len(d.Deliveries) != 0 || d.After != 7 || took < time.Second {
		t.Errorf("got %+v after %v, want nothing after a second", d, took)
	}
}

// TestDeliveriesAreBounded: the oldest goes first, for its token and its phone.
func TestDeliveriesAreBounded(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{Limits: pushkitsim.Limits{Deliveries: 3}})
	for _, token := range []string{token1, token2, token1, token1, token2} {
		b.wantSend(b.build(token), 200, accepted)
	}
	b.wantDeliveries(token1, 2)
	b.wantDeliveries(token2, 1)
	equal(t, len(b.device(token1).Calls), 2)
	equal(t, len(b.device(token2).Calls), 1)
	var health map[string]any
	b.control("GET", "/sim/healthz", "", 200, &health)
	equal(t, health["dropped_deliveries"], any(2.0))
}
