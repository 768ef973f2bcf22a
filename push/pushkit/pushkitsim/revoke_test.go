package pushkitsim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// alert is the request of a notification; edit is put before its end.
func (b *bench) alert(category, edit string) request {
	r := b.build()
	r.pushType = "0"
	r.body = `{"payload":{"notification":{"category":"` + category + `","title":"t","body":"b","clickAction":{"actionType":0}` + edit + `}},"target":{"token":["` + token1 + `"]}}`
	return r
}

func (b *bench) revoke(body string) request {
	r := b.build()
	r.path, r.pushType, r.body = "/v1/"+pushkitsim.ClientID(projectID)+"/messages:revoke", "0", body
	return r
}

// wantShown compares the notifications of a phone, as "category notifyId".
func (b *bench) wantShown(want ...string) {
	b.Helper()
	got := []string{}
	for _, n := range b.device(token1).Notifications {
		got = append(got, fmt.Sprint(n.Category, " ", n.NotifyID))
	}
	equal(b.T, got, append([]string{}, want...))
}

// TestNotifications: the phone shows what the system would.
func TestNotifications(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.wantShown()
	b.wantSend(b.alert("VOIP", `,"notifyId":7,"appMessageId":"c1"`), 200, accepted)
	b.wantSend(b.alert("VOIP", `,"notifyId":8`), 200, accepted)
	b.wantShown("VOIP 7", "VOIP 8")
	b.wantSend(b.alert("MISS_CALL", `,"notifyId":7,"appMessageId":"missed-c1"`), 200, accepted)
	b.wantShown("VOIP 8", "MISS_CALL 7") // in the place of the call's own
	b.wantSend(b.alert("VOIP", `,"notifyId":7,"appMessageId":"c1"`), 200, accepted)
	b.wantShown("VOIP 8", "MISS_CALL 7") // shown already
	b.clock.Advance(24 * time.Hour)
	b.wantSend(b.alert("VOIP", `,"notifyId":7,"appMessageId":"c1"`), 200, accepted)
	b.wantShown("VOIP 8", "VOIP 7")
	b.wantSend(b.alert("VOIP", ``), 200, accepted)
	b.wantSend(b.alert("VOIP", `,"notifyId":-1`), 200, accepted)
	if n := len(b.device(token1).Notifications); n != 4 {
		t.Errorf("%d notifications; those without an id join the others", n)
	}
	b.control("POST", "/sim/devices/"+token1+"/click-notification", `{"notifyId":7}`, 200, nil)
	if n := len(b.device(token1).Notifications); n != 3 {
		t.Errorf("%d notifications after a click", n)
	}
	b.control("POST", "/sim/devices/"+token1+"/click-notification", `{}`, 400, nil)
}

// TestRevoke: what is shown, or still waits for the phone, is taken back.
func TestRevoke(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	take := b.revoke(`{"notifyId":7,"token":["` + token1 + `"]}`)
	b.wantSend(take, 200, accepted) // the answer does not tell whether there was one
	b.wantSend(b.alert("VOIP", `,"notifyId":7`), 200, accepted)
	b.wantSend(b.alert("VOIP", `,"notifyId":8`), 200, accepted)
	b.wantSend(take, 200, accepted)
	b.wantShown("VOIP 8")
	b.wantVerdict("accepted", 200)

	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Offline})
	b.wantSend(b.alert("VOIP", `,"notifyId":7`), 200, accepted)
	b.wantSend(b.alert("VOIP", `,"notifyId":9`), 200, accepted)
	b.wantSend(b.build(), 200, accepted) // push-type 10 is not revocable
	b.wantSend(take, 200, accepted)
	b.setToken(token1, pushkitsim.Token{})
	b.wantShown("VOIP 8", "VOIP 9")
	equal(t, len(b.device(token1).Calls), 1)

	b.setFaults(pushkitsim.Fault{DeliveryDelayMS: 1000, Count: 1})
	b.wantSend(b.alert("VOIP", `,"notifyId":7`), 200, accepted)
	b.wantSend(take, 200, accepted)
	b.clock.Advance(2 * time.Second)
	b.wantShown("VOIP 8", "VOIP 9")

	b.setFaults(pushkitsim.Fault{Status: 503, Count: 1})
	b.wantSend(take, 503, "")
}

// TestRevokeRefusals: each fault has the answer of the revoke page.
func TestRevokeRefusals(t *testing.T) {
	t.Parallel()
	const (
		parameter = `{"code":"80100001","msg":"Check Parameter Error.","requestId":"R"}`
		noTarget  = `{"code":"80300032","msg":"token and notifyId are needed.","requestId":"R"}`
		tokens    = `{"notifyId":7,"token":["` + token1 + `"]}`
		foreign   = "MAMzLgFixtureToken0003"
	)
	body := func(text string) func(*request) { return func(r *request) { r.body = text } }
	for name, c := range map[string]struct {
		spoil  func(*request)
		status int
		want   string
	}{
		"other client":      {func(r *request) { r.path = "/v1/client-0/messages:revoke" }, 401, authFail},
		"no JWT":            {func(r *request) { r.auth = "" }, 401, authFail},
		"push-type 10":      {func(r *request) { r.pushType = "10" }, 400, illegalPayload("The header does not contain valid push-type")},
		"push-type 2":       {func(r *request) { r.pushType = "2" }, 200, accepted},
		"no push-type":      {func(r *request) { r.pushType = "" }, 400, illegalPayload("The header does not contain valid push-type")},
		"not JSON":          {body("{"), 400, parameter},
		"a message's body":  {body(alertBody), 400, noTarget},
		"no token":          {body(`{"notifyId":7}`), 400, noTarget},
		"token a string":    {body(`{"notifyId":7,"token":"` + token1 + `"}`), 400, parameter},
		"token of null":     {body(`{"notifyId":7,"token":[null]}`), 400, parameter},
		"no notifyId":       {body(`{"token":["` + token1 + `"]}`), 400, noTarget},
		"notifyId a string": {body(`{"notifyId":"7","token":["` + token1 + `"]}`), 400, parameter},
		"notifyId negative": {body(`{"notifyId":-1,"token":["` + token1 + `"]}`), 400, illegalPayload("notifyId is not within 0 and 2147483647")},
		"no tokens":         {body(`{"notifyId":7,"token":[]}`), 400, `{"code":"80300010","msg":"token count should within 1 and 1000.","requestId":"R"}`},
		"too long":          {body(`{"notifyId":7,"token":["` + strings.Repeat("M", 4096) + `"]}`), 400, parameter},
		"bad token":         {body(`{"notifyId":7,"token":["T1"]}`), 400, `{"code":"80300007","msg":"{\"failure\":1,\"illegalTokens\":{\"tokenFormatError\":[\"T1\"]}}","requestId":"R"}`},
		"one bad token":     {body(`{"notifyId":7,"token":["T1","` + token1 + `"]}`), 400, `{"code":"80100020","msg":"Check Parameter Partial Error.","requestId":"R"}`},
		"foreign token":     {body(`{"notifyId":7,"token":["` + foreign + `"]}`), 400, `{"code":"80300028","msg":"The token's app is not that of the client id.","requestId":"R"}`},
		"several apps":      {body(`{"notifyId":7,"token":["` + foreign + `","` + token1 + `"]}`), 400, `{"code":"80300017","msg":"The tokens belong to several apps.","requestId":"R"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, pushkitsim.Options{})
			b.setToken(foreign, pushkitsim.Token{State: pushkitsim.Foreign})
			b.wantSend(b.alert("VOIP", `,"notifyId":7`), 200, accepted)
			r := b.revoke(tokens)
			c.spoil(&r)
			b.wantSend(r, c.status, c.want)
			b.wantShown("VOIP 7") // push-type 2 is of another kind of message
		})
	}
	b := start(t, pushkitsim.Options{})
	b.addProject(pushkitsim.Project{ID: projectID, Disabled: true, ClientID: "104"})
	r := b.revoke(tokens)
	b.wantSend(r, 401, authFail)
	r.path = "/v1/104/messages:revoke"
	b.wantSend(r, 400, `{"code":"80300002","msg":"No permission to send message to these tmIDs.","requestId":"R"}`)
}

// TestNotificationsAreBounded: a notification whose delivery is no longer kept
// is forgotten with it.
func TestNotificationsAreBounded(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{Limits: pushkitsim.Limits{Deliveries: 2}})
	for id := range 4 {
		b.wantSend(b.alert("VOIP", fmt.Sprintf(`,"notifyId":%d,"appMessageId":"m%[1]d"`, id)), 200, accepted)
	}
	b.wantShown("VOIP 2", "VOIP 3")
}
