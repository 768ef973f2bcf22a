package apnssim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pushwake/relay/push/apns/apnssim"
)

// TestVerify holds each refusal that Apple documents and a sender can cause.
func TestVerify(t *testing.T) {
	t.Parallel()
	r := newRig(t, apnssim.Options{}, apnssim.KeyOptions{Topics: []string{bundle}})
	for n, told := range map[int]apnssim.Token{
		1: {State: apnssim.Dead, SinceMS: 1_700_000_000_123}, 2: {State: apnssim.Expired}, 3: {State: apnssim.Foreign}, 4: {State: apnssim.NoRight},
		5: {State: apnssim.Alive, Environment: apnssim.Sandbox}, 6: {State: apnssim.Alive, Topic: bundle},
	} {
		if err := r.sim.SetToken(token(n), told); err != nil {
			t.Fatal(err)
		}
	}
	header := func(name, value string) func(*request) { return func(q *request) { q.header[name] = value } }
	without := func(name string) func(*request) { return func(q *request) { delete(q.header, name) } }
	to := func(n int) func(*request) { return func(q *request) { q.path = "/3/device/" + token(n) } }
	signed := func(iat time.Time, change ...func(*jwt.Token)) func(*request) {
		return func(q *request) { q.header["authorization"] = r.bearer(iat, change...) }
	}
	now := time.Now()
	for name, test := range map[string]struct {
		change func(*request)
		status int
		reason string
	}{
		"good":                     {func(*request) {}, 200, ""},
		"an alert":                 {func(q *request) { q.header["apns-push-type"], q.header["apns-topic"] = "alert", bundle }, 200, ""},
		"method":                   {func(q *request) { q.method = "PUT" }, 405, "MethodNotAllowed"},
		"path":                     {func(q *request) { q.path = "/3/devices/" + token(0) }, 404, "BadPath"},
		"no token":                 {func(q *request) { q.path = "/3/device/" }, 400, "MissingDeviceToken"},
		"no authorization":         {without("authorization"), 403, "MissingProviderToken"},
		"basic authorization":      {header("authorization", "Basic dTpw"), 403, "MissingProviderToken"},
		"not a JWT":                {header("authorization", "bearer x"), 403, "InvalidProviderToken"},
		"another team":             {signed(now, func(t *jwt.Token) { t.Claims = jwt.MapClaims{"iss": "OTHER12345", "iat": now.Unix()} }), 403, "InvalidProviderToken"},
		"no iat":                   {signed(now, func(t *jwt.Token) { t.Claims = jwt.MapClaims{"iss": team} }), 403, "InvalidProviderToken"},
		"an unknown key":           {signed(now, func(t *jwt.Token) { t.Header["kid"] = "ABCDE12345" }), 403, "InvalidProviderToken"},
		"an old provider token":    {signed(now.Add(-61 * time.Minute)), 403, "ExpiredProviderToken"},
		"a provider token to come": {signed(now.Add(61 * time.Minute)), 403, "ExpiredProviderToken"},
		"a foreign topic":          {header("apns-topic", "com.example.other.voip"), 400, "TopicDisallowed"},
		"no topic":                 {without("apns-topic"), 400, "MissingTopic"},
		"voip to an alert's topic": {header("apns-topic", bundle), 400, "BadTopic"},
		"no push type":             {without("apns-push-type"), 400, "InvalidPushType"},
		"push type":                {header("apns-push-type", "call"), 400, "InvalidPushType"},
		"message id":               {header("apns-id", "7"), 400, "BadMessageId"},
		"message id in capitals":   {header("apns-id", "0192F0C4-7F6E-7B1A-9B52-3D1C5A0E7F11"), 400, "BadMessageId"},
		"expiration":               {header("apns-expiration", "soon"), 400, "BadExpirationDate"},
		"priority":                 {header("apns-priority", "7"), 400, "BadPriority"},
		"collapse id":              {header("apns-collapse-id", strings.Repeat("c", 65)), 400, "BadCollapseId"},
		"no payload":               {func(q *request) { q.body = "" }, 400, "PayloadEmpty"},
		"5120 bytes":               {func(q *request) { q.body = strings.Repeat("x", 5120) }, 200, ""},
		"5121 bytes":               {func(q *request) { q.body = strings.Repeat("x", 5121) }, 413, "PayloadTooLarge"},
		"4097 bytes of an alert": {func(q *request) {
			q.header["apns-push-type"], q.header["apns-topic"], q.body = "alert", bundle, strings.Repeat("x", 4097)
		}, 413, "PayloadTooLarge"},
		"a short token":        {func(q *request) { q.path = "/3/device/abcd" }, 400, "BadDeviceToken"},
		"a token that is none": {func(q *request) { q.path = "/3/device/" + strings.Repeat("z", 64) }, 400, "BadDeviceToken"},
		"dead":                 {to(1), 410, "Unregistered"},
		"expired":              {to(2), 410, "ExpiredToken"},
		"foreign":              {to(3), 400, "DeviceTokenNotForTopic"},
		"no right":             {to(4), 403, "Forbidden"},
		"of the sandbox":       {to(5), 400, "BadDeviceToken"},
		"of an alert":          {to(6), 400, "DeviceTokenNotForTopic"},
	} {
		t.Run(name, func(t *testing.T) {
			own := r.fresh(t)
			q := own.good(0)
			test.change(&q)
			a := own.send(q)
			if a.status != test.status || a.Reason != test.reason || a.id == "" {
				t.Errorf("%+v", a)
			}
			if name == "dead" && a.Timestamp != 1_700_000_000_123 {
				t.Errorf("timestamp %d", a.Timestamp)
			}
		})
	}
}

func TestEnvironments(t *testing.T) {
	t.Parallel()
	r := newRig(t, apnssim.Options{}, apnssim.KeyOptions{Environment: apnssim.Sandbox})
	q := r.good(0)
	if a := r.send(q); a.status != 403 || a.Reason != "BadEnvironmentKeyIdInToken" {
		t.Errorf("%+v", a)
	}
	q.url = r.urls.Sandbox
	if a := r.send(q); a.status != 200 || a.unique == "" {
		t.Errorf("%+v", a)
	}
}

// TestOneProviderTokenAConnection holds what a connection remembers of those
// who used it.
func TestOneProviderTokenAConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, apnssim.Options{}, apnssim.KeyOptions{})
	first := r.good(0)
	if a := r.send(first); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	second := r.good(0) // ES256 signs the same claims differently each time
	if a := r.send(second); a.status != 429 || a.Reason != "TooManyProviderTokenUpdates" {
		t.Errorf("%+v", a)
	}
	other, err := r.sim.NewKey(apnssim.KeyOptions{TeamID: team})
	if err != nil {
		t.Fatal(err)
	}
	good := r.key
	r.key = other
	if a := r.send(r.good(0)); a.status != 403 || a.Reason != "UnrelatedKeyIdInToken" {
		t.Errorf("%+v", a)
	}
	if a := r.send(first); a.status != 200 {
		t.Errorf("%+v", a)
	}
	r.sim.RevokeKey(good.KeyID)
	if a := r.send(first); a.status != 403 || a.Reason != "InvalidProviderToken" {
		t.Errorf("%+v", a)
	}
}
