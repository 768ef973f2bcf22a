package pushkitsim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

func (b *bench) device(token string) pushkitsim.Device {
	b.Helper()
	var d pushkitsim.Device
	b.control("GET", "/sim/devices/"+token, "", 200, &d)
	return d
}

// ring sends n VoIP messages and returns the new call ids.
func (b *bench) ring(token string, n int) []string {
	b.Helper()
	before := len(b.deliveries(token))
	for range n {
		b.wantSend(b.build(token), 200, accepted)
	}
	var ids []string
	for _, d := range b.deliveries(token)[before:] {
		ids = append(ids, callID(b.T, d))
	}
	return ids
}

// report posts to a phone; the answer is "reason N" or "error N".
func (b *bench) report(what, body string) string {
	b.Helper()
	var r pushkitsim.CallReport
	b.control("POST", "/sim/devices/"+token1+"/"+what, body, 200, &r)
	if r.ErrorReason != nil {
		return fmt.Sprint("reason ", *r.ErrorReason)
	}
	return fmt.Sprint("error ", r.ErrorCode)
}

func (b *bench) wantReport(what, body, want string) {
	b.Helper()
	if got := b.report(what, body); got != want {
		b.Errorf("%s %s: %s, want %s", what, body, got, want)
	}
}

const (
	incoming      = "report-incoming-call"
	stateChange   = "report-call-state-change"
	incomingError = "report-incoming-call-error"

	invalidValue = "error 1007200001"
	tooManyCalls = "error 1007200003"
)

func ringing(id string) string { return fmt.Sprintf(`{"callId":%q,"voipCallState":1}`, id) }

func state(id string, n int) string { return fmt.Sprintf(`{"callId":%q,"state":%d}`, id, n) }

func TestReportIncomingCall(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	ids := b.ring(token1, 5)
	b.wantReport(incoming, ringing("pk-unknown"), "reason 3")
	b.wantReport(incoming, fmt.Sprintf(`{"callId":%q,"voipCallState":2}`, ids[0]), invalidValue)
	b.wantReport(incoming, `{"voipCallState":1}`, invalidValue)
	b.wantReport(incoming, fmt.Sprintf(`{"callId":%q}`, ids[0]), invalidValue)
	b.wantReport(incoming, `{"callId":5,"voipCallState":1}`, "error 401")
	b.wantReport(incoming, fmt.Sprintf(`{"callId":%q,"voipCallType":1,"userName":"Li Na","abilityName":"EntryAbility","voipCallState":1}`, ids[0]), "reason 0")
	b.wantReport(incoming, ringing(ids[0]), invalidValue)
	b.wantReport(incoming, ringing(ids[1]), "reason 0")
	b.wantReport(incoming, ringing(ids[2]), "reason 0")
	b.wantReport(incoming, ringing(ids[3]), tooManyCalls)
	equal(t, b.device(token1).Incoming, 3)

	// An end frees a slot; the carrier's call stands before the count.
	b.wantReport(stateChange, state(ids[1], 4), "reason 0")
	b.control("PUT", "/sim/devices/"+token1+"/carrier-call", `{"active":true}`, 200, nil)
	b.wantReport(incoming, ringing(ids[3]), "reason 1")
	b.control("PUT", "/sim/devices/"+token1+"/carrier-call", `{"active":false}`, 200, nil)
	b.wantReport(incoming, ringing(ids[3]), "reason 0")
	b.wantReport(incoming, ringing(ids[4]), tooManyCalls)

	// The call of one phone is unknown to another.
	other := b.ring(token2, 1)
	b.wantReport(incoming, ringing(other[0]), "reason 3")
}

func TestReportStateChange(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	id := b.ring(token1, 1)[0]
	b.wantReport(stateChange, state("pk-unknown", 2), invalidValue)
	b.wantReport(stateChange, state(id, 2), invalidValue) // not reported yet
	b.wantReport(incoming, ringing(id), "reason 0")
	for n, want := range map[int]string{0: invalidValue, 3: invalidValue, 8: invalidValue, 6: "reason 0", 2: "reason 0"} {
		b.wantReport(stateChange, state(id, n), want)
	}
	b.wantReport(stateChange, fmt.Sprintf(`{"callId":%q}`, id), invalidValue)
	b.wantReport(stateChange, state(id, 4), "reason 0")
	b.wantReport(stateChange, state(id, 4), invalidValue)
	d := b.device(token1)
	equal(t, []any{d.Incoming, d.Calls[0].Status, d.Calls[0].State}, []any{0, "ended", 4})
}

func TestReportIncomingCallError(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	ids := b.ring(token1, 2)
	cause := func(id string, n int) string { return fmt.Sprintf(`{"callId":%q,"cause":%d}`, id, n) }
	b.wantReport(incomingError, cause("pk-unknown", 1), invalidValue)
	b.wantReport(incomingError, cause(ids[0], 3), invalidValue)
	b.wantReport(incomingError, cause(ids[0], 1), "reason 0")
	b.wantReport(incomingError, cause(ids[0], 1), invalidValue)
	b.wantReport(incoming, ringing(ids[0]), invalidValue)
	b.wantReport(incoming, ringing(ids[1]), "reason 0")
	b.wantReport(incomingError, cause(ids[1], 1), invalidValue)
	call := b.device(token1).Calls[0]
	if call.Status != "error" || call.FailureCause == nil || *call.FailureCause != 1 {
		t.Errorf("call %+v, want the failure cause 1", call)
	}
}

// TestTenSeconds: silence is recorded once the ten seconds are over, and a
// report in time, even a refused one, ends the wait.
func TestTenSeconds(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	ids := b.ring(token1, 4)
	flags := func() []bool {
		var out []bool
		for _, c := range b.device(token1).Calls {
			out = append(out, c.NotReported)
		}
		return out
	}
	b.wantReport(incoming, ringing(ids[0]), "reason 0")
	b.control("PUT", "/sim/devices/"+token1+"/carrier-call", `{"active":true}`, 200, nil)
	b.wantReport(incoming, ringing(ids[1]), "reason 1")
	b.control("PUT", "/sim/devices/"+token1+"/carrier-call", `{"active":false}`, 200, nil)
	b.clock.Advance(10 * time.Second)
	equal(t, flags(), []bool{false, false, false, false})
	b.clock.Advance(time.Millisecond)
	equal(t, flags(), []bool{false, false, true, true})
	b.wantReport(incoming, ringing(ids[2]), "reason 0") // late: taken, and still told
	equal(t, flags(), []bool{false, false, true, true})
	if c := b.device(token1).Calls[2]; c.ReportedAtMS != b.clock.Now().UnixMilli() || c.Status != "reported" {
		t.Errorf("late report: %+v", c)
	}
}

// TestOwnCall: an app reports a call that came over its own connection under an
// id of its own. It counts like the others, and is forgotten when it ends.
func TestOwnCall(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.control("PUT", "/sim/devices/"+token1+"/carrier-call", `{"active":true}`, 200, nil)
	b.wantReport(incoming, ringing("own-1"), "reason 1")
	equal(t, len(b.device(token1).Calls), 0)
	b.control("PUT", "/sim/devices/"+token1+"/carrier-call", `{"active":false}`, 200, nil)
	b.wantReport(incoming, `{"callId":"own-1","voipCallState":2}`, invalidValue)
	b.wantReport(incomingError, `{"callId":"own-1","cause":1}`, invalidValue)
	for _, id := range []string{"own-1", "own-2"} {
		b.wantReport(incoming, ringing(id), "reason 0")
	}
	b.wantReport(incoming, ringing("own-1"), invalidValue)
	pushed := b.ring(token1, 2)
	b.wantReport(incoming, ringing(pushed[0]), "reason 0")
	b.wantReport(incoming, ringing(pushed[1]), tooManyCalls)
	b.wantReport(incoming, ringing("own-3"), tooManyCalls)
	b.clock.Advance(time.Minute)
	d := b.device(token1)
	equal(t, []any{d.Incoming, len(d.Calls), d.Calls[0].Status, d.Calls[0].DeliveredAtMS, d.Calls[0].NotReported}, []any{3, 4, "reported", int64(0), false})

	b.wantReport(stateChange, state("own-1", 2), "reason 0")
	b.wantReport(stateChange, state("own-1", 4), "reason 0")
	b.wantReport(stateChange, state("own-1", 4), invalidValue)
	b.wantReport(incoming, ringing("own-1"), "reason 0") // an app that was started anew
	d = b.device(token1)
	equal(t, []int{d.Incoming, len(d.Calls)}, []int{3, 4})
}

// TestLiveCallOutlivesItsDelivery: a call that holds a slot is kept until it
// ends, whatever the list of deliveries forgets.
func TestLiveCallOutlivesItsDelivery(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{Limits: pushkitsim.Limits{Deliveries: 1}})
	id := b.ring(token1, 1)[0]
	b.wantReport(incoming, ringing(id), "reason 0")
	b.wantSend(b.build(token2), 200, accepted)
	equal(t, b.device(token1).Incoming, 1)
	b.wantReport(stateChange, state(id, 4), "reason 0")
	d := b.device(token1)
	equal(t, []int{d.Incoming, len(d.Calls)}, []int{0, 0})
}
