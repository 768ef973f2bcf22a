package pushkitsim_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

func withTTL(r request, tokens []string, seconds int) request {
	r.body = voipBody(tokens, fmt.Sprintf(`{"ttl":%d}`, seconds))
	return r
}

// TestDeadTokenIsAccepted: only a receipt tells that the app is gone.
func TestDeadTokenIsAccepted(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Dead})
	b.wantSend(b.build(), 200, accepted)
	b.wantVerdict("accepted", 200)
	b.wantDeliveries(token1, 0)
}

func TestRefusedTokens(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	const elsewhere, platform = "MAMzLgFixtureToken0003", "MAMzLgFixtureToken0004"
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Foreign})
	b.setToken(token2, pushkitsim.Token{State: pushkitsim.NoRight})
	b.setToken(elsewhere, pushkitsim.Token{ProjectID: otherID})
	b.setToken(platform, pushkitsim.Token{Reason: "tokenPlatformNotSupport"})
	for token, reason := range map[string]string{token1: "noRight", token2: "noPushTypeRight", elsewhere: "noRight", platform: "tokenPlatformNotSupport", "MA with blanks in it": "tokenFormatError"} {
		b.wantSend(b.build(token), 400, `{"code":"80300007","msg":"{\"failure\":1,\"illegalTokens\":{\"`+reason+`\":[\"`+token+`\"]}}","requestId":"R"}`)
		b.wantVerdict("rejected:80300007", 400)
	}
	good := "MAMz/Lg+Fixture_Token-0009"
	b.wantSend(b.build(token1, good, "T2", token2, elsewhere), 200,
		`{"code":"80100000","msg":"{\"illegalTokens\":{\"noPushTypeRight\":[\"`+token2+`\"],\"noRight\":[\"`+token1+`\",\"`+elsewhere+`\"],\"tokenFormatError\":[\"T2\"]},\"success\":1,\"failure\":4}","requestId":"R"}`)
	b.wantVerdict("partial", 200)
	b.wantDeliveries(good, 1)
	b.wantDeliveries(token1, 0)
	b.wantDeliveries(token2, 0)
}

func TestOfflineThenAlive(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Offline})
	b.wantSend(withTTL(b.build(), []string{token1}, 30), 200, accepted)
	b.wantSend(withTTL(b.build(), []string{token1}, 60), 200, accepted)
	b.wantDeliveries(token1, 0)
	var state map[string]any
	b.control("GET", "/sim/tokens/"+token1, "", 200, &state)
	equal(t, state, map[string]any{"token": token1, "state": "offline", "cached": 2.0})
	b.clock.Advance(29 * time.Second)
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Alive})
	b.wantDeliveries(token1, 2)
	if d := b.deliveries(token1)[0]; d.AtMS != b.clock.Now().UnixMilli() {
		t.Errorf("delivered at %d, want the time of reconnecting", d.AtMS)
	}
}

func TestOfflineExpires(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Offline})
	b.wantSend(withTTL(b.build(), []string{token1}, 30), 200, accepted)
	b.wantSend(withTTL(b.build(), []string{token1}, 31), 200, accepted)
	unset := b.build()
	unset.body = voipBody([]string{token1}, `{}`)
	b.wantSend(unset, 200, accepted)
	b.clock.Advance(30 * time.Second)
	b.setToken(token1, pushkitsim.Token{})
	b.wantDeliveries(token1, 2) // the one of 31 s and the one without a ttl

	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Offline})
	b.wantSend(unset, 200, accepted)
	b.clock.Advance(86400*time.Second - time.Millisecond)
	b.setToken(token1, pushkitsim.Token{})
	b.wantDeliveries(token1, 3)

	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Offline})
	unset.auth = "Bearer " + b.jwt()
	b.wantSend(unset, 200, accepted)
	b.clock.Advance(86400 * time.Second)
	b.setToken(token1, pushkitsim.Token{})
	b.wantDeliveries(token1, 3)
}

func TestOfflineThenDead(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Offline})
	b.wantSend(b.build(), 200, accepted)
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Dead})
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Alive})
	b.wantDeliveries(token1, 0)
}

// TestOfflineCap: 120 are kept, the oldest are overwritten, and VoIP messages
// do not collapse.
func TestOfflineCap(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Offline})
	r := b.build()
	for i := range pushkitsim.OfflineCache + 5 {
		r.body = strings.Replace(voipBody([]string{token1}, `{"collapseKey":1}`), `{\"v\":1}`, fmt.Sprint(i), 1)
		b.wantSend(r, 200, accepted)
	}
	b.setToken(token1, pushkitsim.Token{})
	got := b.deliveries(token1)
	if len(got) != pushkitsim.OfflineCache {
		t.Fatalf("%d deliveries, want %d", len(got), pushkitsim.OfflineCache)
	}
	if !strings.HasPrefix(got[0].Data, `{"data":"5",`) {
		t.Errorf("the oldest kept is %s, want number 5", got[0].Data)
	}
}

func TestAlertsCollapse(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setToken(token1, pushkitsim.Token{State: pushkitsim.Offline})
	r := b.build()
	r.pushType = "0"
	for title, key := range map[string]int{"kept": 2, "also kept": -1} {
		r.body = strings.Replace(strings.Replace(alertBody, `"ttl":86400`, fmt.Sprintf(`"collapseKey":%d`, key), 1), "Li Na", title, 1)
		b.wantSend(r, 200, accepted)
	}
	for _, title := range []string{"first", "second"} {
		r.body = strings.Replace(strings.Replace(alertBody, `"ttl":86400`, `"collapseKey":1`, 1), "Li Na", title, 1)
		b.wantSend(r, 200, accepted)
	}
	b.setToken(token1, pushkitsim.Token{})
	titles := map[string]bool{}
	for _, d := range b.deliveries(token1) {
		var n struct{ Title string }
		if err := json.Unmarshal([]byte(d.Data), &n); err != nil {
			t.Fatal(err)
		}
		titles[n.Title] = true
	}
	equal(t, titles, map[string]bool{"kept": true, "also kept": true, "second": true})
}

// TestTokenInPathAndQuery tells about a token that needs escaping, both ways.
func TestTokenInPathAndQuery(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	const awkward = "MA/zLg+Fix//ture_Token-1"
	state := func() string {
		var got map[string]any
		b.control("GET", "/sim/tokens/"+url.PathEscape(awkward), "", 200, &got)
		if got["token"] != awkward {
			t.Errorf("token %q, want %q", got["token"], awkward)
		}
		return got["state"].(string)
	}
	b.control("PUT", "/sim/tokens/"+url.PathEscape(awkward), `{"state":"dead"}`, 200, nil)
	equal(t, state(), "dead")
	b.control("PUT", "/sim/tokens?token="+url.QueryEscape(awkward), `{"state":"foreign"}`, 200, nil)
	equal(t, state(), "foreign")
	b.control("PUT", "/sim/tokens?token="+awkward, `{"state":"no_right"}`, 200, nil)
	equal(t, state(), "no_right")
	b.wantSend(b.build(awkward), 400, `{"code":"80300007","msg":"{\"failure\":1,\"illegalTokens\":{\"noPushTypeRight\":[\"`+awkward+`\"]}}","requestId":"R"}`)
	b.control("DELETE", "/sim/tokens/"+url.PathEscape(awkward), "", 204, nil)
	equal(t, state(), "alive")
	b.wantSend(b.build(awkward), 200, accepted)
	var got struct{ Deliveries []pushkitsim.Delivery }
	b.control("GET", "/sim/deliveries?token="+url.QueryEscape(awkward), "", 200, &got)
	if len(got.Deliveries) != 1 {
		t.Errorf("%d deliveries, want 1", len(got.Deliveries))
	}
}
