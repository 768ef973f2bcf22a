package pushkitsim_test

import (
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// testJWT is a right JWT on the real clock.
func testJWT(key *rsa.PrivateKey) string {
	now := time.Now().Unix()
	return sign(jwt.SigningMethodPS256, keyID, jwt.MapClaims{"iss": subAccount, "aud": pushkitsim.TokenURI, "iat": now, "exp": now + 86400}, key)
}

// FuzzSend: no request makes the simulator panic or fail, and every answer is
// well-formed.
func FuzzSend(f *testing.F) {
	f.Add("10", exampleBody)
	f.Add("0", alertBody)
	f.Add("6", `{"payload":{"extraData":"x","proxyData":"ENABLE"},"target":{"token":["`+token1+`"]}}`)
	f.Add("1", `{"payload":{"formData":{}},"target":{"token":["`+token1+`"]},"pushOptions":{"testMessage":true,"collapseKey":-1}}`)
	f.Add("10", `{"payload":{"extraData":"x"},"target":{"token":["T1","`+token1+`"]},"pushOptions":{"ttl":1e3}}`)
	f.Add("0", `{"payload":{"notification":{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":1,"uri":"u","data":null},"style":3,"inboxContent":[null],"badge":{"addNum":"1"}}},"target":{"token":[]}}`)
	f.Add("", "null")
	key, public := testKey()
	now := time.Now()
	auth := "Bearer " + testJWT(key)
	f.Fuzz(func(t *testing.T, pushType, body string) {
		// A new one each time: what an input covers must not depend on the ones
		// before it, or the fuzzer minimizes without end.
		s := pushkitsim.New(pushkitsim.Options{Now: func() time.Time { return now }})
		if err := s.AddProject(pushkitsim.Project{ID: projectID, SubAccount: subAccount, KeyID: keyID, PublicKey: public}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/v3/"+projectID+"/messages:send", strings.NewReader(body))
		r.Header.Set("Authorization", auth)
		r.Header.Set("push-type", pushType)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("answer %d %s", w.Code, w.Body)
		}
		var answer struct{ Code, Msg, RequestID string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		if len(answer.Code) != 8 || answer.Msg == "" || len(answer.RequestID) != 24 {
			t.Fatalf("answer %s", w.Body)
		}
		if (answer.Code == "80000000" || answer.Code == "80100000") != (w.Code == http.StatusOK) {
			t.Fatalf("code %s under HTTP %d", answer.Code, w.Code)
		}
		list := httptest.NewRecorder()
		s.ServeHTTP(list, httptest.NewRequest(http.MethodGet, "/sim/messages", nil))
		if list.Code != http.StatusOK || !json.Valid(list.Body.Bytes()) {
			t.Fatalf("messages: %d %s", list.Code, list.Body)
		}
	})
}
