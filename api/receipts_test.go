package api_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store"
)

const (
	callbackHeader = "X-Huawei-Callback-Id"
	receiptsPath   = "/v1/receipts/push-kit/" + app
)

var callback = pushkit.Callback{User: "relay", Secret: base64.StdEncoding.EncodeToString([]byte("a secret of receipts"))}

// signsReceipts gives the app demo what its receipts are signed with.
func (r *rig) signsReceipts(c pushkit.Callback) {
	r.t.Helper()
	file, err := pushkit.AddCallback(r.vendor.file, c)
	if err == nil {
		err = r.store.PutCredential(r.t.Context(), store.Credential{AppID: app, Vendor: call.PushKit, Secret: file, About: map[string]string{}})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// signature is the header of a callback that Push Kit makes at a time.
func signature(at time.Time) string {
	key, _ := base64.StdEncoding.DecodeString(callback.Secret)
	timestamp, nonce := fmt.Sprint(at.UnixMilli()), rand.Text()
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(timestamp + nonce + callback.User))
	return fmt.Sprintf("timestamp=%s; nonce=%s; value=%s", timestamp, nonce, base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// status is one receipt as Push Kit sends it.
func status(attempt, token string, result int) object {
	return object{
		"biTag": attempt, "pushType": 10, "appPackageName": "com.example.voip", "token": token, "requestId": "176120040012300000000701",
		"deliveryStatus": object{"result": result, "timestamp": 1761200401120},
	}
}

func statuses(all ...object) object { return object{"statuses": all} }

// attempts are the ids of a call's attempts so far.
func (r *rig) attempts(id string) (ids []string) {
	r.t.Helper()
	told := r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)
	for i, e := range told.get("data").([]any) {
		if e.(object)["type"] == "attempt" {
			ids = append(ids, told.text("data", i, "attempt", "id"))
		}
	}
	return ids
}

// receipts are those that a call's timeline tells, by the number of their entry.
func (a answer) receipts() (all []object) {
	for _, e := range a.get("data").([]any) {
		if e.(object)["type"] == "receipt" {
			all = append(all, e.(object))
		}
	}
	return all
}

func TestReceiptsSigned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	r.handedOver(id, r.token("d1"))
	attempt := r.attempts(id)[0]
	told := func() []object {
		return r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200).receipts()
	}

	// Without a secret: told, and nothing else.
	answered := r.ask("", "POST", receiptsPath, statuses(status(attempt, r.token("d1"), 2))).want(200)
	if got := strings.TrimSpace(string(answered.body)); got != `{"code":"0","message":"success"}` {
		t.Errorf("Huawei is answered %q", got)
	}
	if got := told(); len(got) != 1 || got[0]["receipt"].(object)["signed"] != false || got[0]["receipt"].(object)["action"] != "none" || !strings.Contains(got[0]["text"].(string), "not signed") {
		t.Fatalf("without a secret the timeline tells %v", got)
	}
	r.ask(r.backend, "GET", "/v1/devices/d1", nil).want(200).has("alive", "tokens", "push_kit", "state")

	r.signsReceipts(callback)
	now := time.Now()
	removed := statuses(status(attempt, r.token("d1"), 5))
	for name, header := range map[string]string{
		"unsigned": "", "wrong": strings.Replace(signature(now), "value=", "value=A", 1), "old": signature(now.Add(-6 * time.Minute)), "early": signature(now.Add(6 * time.Minute)),
	} {
		if a := r.ask("", "POST", receiptsPath, removed, callbackHeader, header); a.status != 401 || a.get("code") != "unauthenticated" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	r.ask("", "POST", "/v1/receipts/push-kit/nobody", removed).refused(404, api.CodeNotFound)
	r.ask("", "POST", "/v1/receipts/push-kit/"+otherApp, removed).want(200) // another app's attempt
	if got := told(); len(got) != 1 {
		t.Fatalf("refused receipts are told: %v", got)
	}
	header := signature(now)
	for range 2 { // a replay changes nothing
		r.ask("", "POST", receiptsPath, removed, callbackHeader, header).want(200)
	}
	if got := told(); len(got) != 2 || got[1]["receipt"].(object)["action"] != "drop_token" || got[1]["receipt"].(object)["told_at"] != "2025-10-23T06:20:01.120Z" {
		t.Fatalf("the timeline tells %v", got)
	}
	// Its time is long before the registration.
	r.ask(r.backend, "GET", "/v1/devices/d1", nil).want(200).has("alive", "tokens", "push_kit", "state")
}

// TestReceiptBodies: what is wrong with one receipt costs the others nothing.
func TestReceiptBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	r.handedOver(id, r.token("d1"))
	attempt := r.attempts(id)[0]
	post := func(body any) answer { return r.ask("", "POST", receiptsPath, body) }
	post(`{"statuses": []}`).want(200)
	post(`{"statuses": [null, 7, "x", [], {}, {"biTag": 7}, {"biTag": "", "deliveryStatus": {"result": 0}}, {"formStatus": {"formId": "1", "result": 0, "timestamp": 1}},
		{"biTag": "{` + attempt + `}", "deliveryStatus": {"result": 0}}, {"biTag": "` + attempt + `"}, {"biTag": "` + attempt + `", "deliveryStatus": {"result": "0"}},
		{"biTag": "` + attempt + `", "deliveryStatus": {"result": -1}}, {"biTag": "` + attempt + `", "deliveryStatus": {"result": 0.5}},
		{"biTag": "` + attempt + `", "deliveryStatus": {"result": 1e30}},
		{"biTag": "` + strings.ToUpper(attempt) + `", "deliveryStatus": {"result": 51, "timestamp": 1e300}, "token": "\u0000", "requestId": "\u0000", "new": {"field": 1}}], "more": 1}`).want(200)
	got := r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200).receipts()
	if len(got) != 1 || got[0]["receipt"].(object)["result"] != 51.0 || got[0]["receipt"].(object)["told_at"] == nil {
		t.Errorf("the timeline tells %v", got)
	}
	for body, code := range map[string]api.Code{"": api.CodeMalformed, "{": api.CodeMalformed, "[]": api.CodeInvalid, "{}": api.CodeInvalid, `{"statuses": null}`: api.CodeInvalid, `{"statuses": {}}`: api.CodeInvalid} {
		if a := post(body); a.get("code") != string(code) {
			t.Errorf("%q: %s", body, a.body)
		}
	}
	many := make([]object, 101)
	for i := range many {
		many[i] = status(attempt, strings.Repeat("T", 1<<10), i)
	}
	post(statuses(many...)).refused(422, api.CodeInvalid).has("/statuses", "errors", 0, "pointer")
	post(statuses(many[:100]...)).want(200)
}

// ownSim gives the rig a Push Kit of its own, which sends receipts.
func (r *rig) ownSim() *pushkitsim.Sim {
	r.t.Helper()
	own, err := newPushKit()
	if err != nil {
		r.t.Fatal(err)
	}
	r.vendor = own
	r.t.Cleanup(func() { _ = own.sim.Close() })
	return own.sim
}

// TestReceiptsOfSimulator: Push Kit's receipts as they come over a socket, signed
// in either way, twice and out of order, to two processes.
func TestReceiptsOfSimulator(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name     string
		callback pushkit.Callback
	}{
		{pushkitsim.KeyBase64, callback},
		{pushkitsim.KeyRaw, pushkit.Callback{User: "relay", Secret: "as people chose it"}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			sim := r.ownSim()
			r.signsReceipts(mode.callback)
			if err := sim.SetReceipts(pushkitsim.ReceiptConfig{
				URL: r.url + receiptsPath, User: mode.callback.User, Secret: mode.callback.Secret, KeyMode: mode.name, Duplicate: true, Reorder: true,
			}); err != nil {
				t.Fatal(err)
			}
			results := map[string]int{"delivered": 0, "removed": 2, "mismatch": 5, "inactive": 10, "locked": 51}
			for device, result := range results {
				r.ask(r.backend, "PUT", "/v1/devices/"+device, phone("u2", r.token(device))).want(200)
				token := pushkitsim.Token{State: pushkitsim.Alive, Receipt: &result}
				if err := sim.SetToken(r.token(device), token); err != nil {
					t.Fatal(err)
				}
			}
			id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
			var told answer
			eventually(t, "the receipts", func() bool {
				told = r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)
				return len(told.receipts()) >= len(results)
			})
			got := map[string]float64{}
			for _, e := range told.receipts() {
				got[e["device_id"].(string)] = e["receipt"].(object)["result"].(float64)
				if e["receipt"].(object)["signed"] != true {
					t.Errorf("a receipt is not taken for signed: %v", e)
				}
			}
			for device, result := range results {
				if got[device] != float64(result) || len(told.receipts()) != len(results) {
					t.Errorf("the receipts are %v, want %v", got, results)
				}
			}
			for device, state := range map[string]string{"delivered": "alive", "removed": "dead", "mismatch": "dead", "inactive": "suspended", "locked": "alive"} {
				r.ask(r.backend, "GET", "/v1/devices/"+device, nil).want(200).has(state, "tokens", "push_kit", "state")
			}
			r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200)
			told = r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)
			if said, _ := json.Marshal(told.get("legs")); !strings.Contains(string(said), "Huawei says that the phone had not been unlocked since it was switched on.") {
				t.Errorf("the words of the legs do not tell of the receipts: %s", said)
			}
			eventually(t, "every receipt twice", func() bool { return sim.ReceiptStats().Sent >= 2*len(results) })
			if stats := sim.ReceiptStats(); stats.Failed > 0 {
				t.Errorf("receipts were not taken: %+v", stats)
			}
		})
	}
}

// TestReceiptOfNotice: a notice has receipts too.
func TestReceiptOfNotice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.signsReceipts(callback)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	r.handedOver(id, r.token("d1"))
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200)
	eventually(t, "the notice", func() bool { return len(r.attempts(id)) == 2 })
	told := status(r.attempts(id)[1], r.token("d1"), 6)
	told["deliveryStatus"].(object)["timestamp"] = time.Now().UnixMilli()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			r.ask("", "POST", receiptsPath, statuses(told), callbackHeader, signature(time.Now())).want(200)
		})
	}
	both.Wait()
	got := r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200).receipts()
	if len(got) != 1 || got[0]["receipt"].(object)["purpose"] != "missed_call" || !strings.HasPrefix(got[0]["text"].(string), "Receipt for notice 1 of the missed call to d1 (result 6). Huawei says that the phone did not show the notification") {
		t.Errorf("the timeline tells %v", got)
	}
	chinese := r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil, "Accept-Language", "zh-CN").want(200).receipts()
	if !strings.HasPrefix(chinese[0]["text"].(string), "第 1 次未接来电通知（设备 d1）的回执（结果码 6）。华为称") {
		t.Errorf("in Chinese: %v", chinese)
	}
}
