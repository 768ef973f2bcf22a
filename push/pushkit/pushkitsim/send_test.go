package pushkitsim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// exampleBody is the worked example of a call.
const exampleBody = `{"payload":{"extraData":"{\"v\":1,\"cid\":\"0192f0c4-7f6e-7b1a-9b52-3d1c5a0e7f11\",\"to\":\"acct-8841\",\"scene\":\"video\",\"name\":\"Li Na\",\"av\":\"a/55\",\"iat\":1761200400,\"exp\":1761200445}"},
 "target":{"token":["MAMzLgFixtureToken0001"]},
 "pushOptions":{"ttl":45,"biTag":"0192f0c4-8a10-7c55-8d21-0b9f8e6a4c02","receiptId":"RCP-1"}}`

const alertBody = `{"payload":{"notification":{"category":"MISS_CALL","title":"Li Na","body":"Missed call","clickAction":{"actionType":0},"appMessageId":"0192f0c4-8a10","notifyId":7}},"target":{"token":["MAMzLgFixtureToken0001"]},"pushOptions":{"ttl":86400}}`

func TestAcceptedExample(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	r := b.build()
	r.body = exampleBody
	status, body := b.send(r)
	if want := `{"code":"80000000","msg":"Success","requestId":"176120040012300000000001"}`; status != 200 || body != want {
		t.Errorf("answer %d %s, want 200 %s", status, body, want)
	}
}

func illegalPayload(what string) string {
	return `{"code":"80100003","msg":"Illegal payload, ` + what + `","requestId":"R"}`
}

// TestAnswers holds each row of the table of failing responses that one request
// can show, with the exact bodies.
func TestAnswers(t *testing.T) {
	t.Parallel()
	many := func(n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprintf("MAMzLgFixtureToken%04d", i)
		}
		return out
	}
	body := func(s string) func(*request) { return func(r *request) { r.body = s } }
	voip := func(payload, options string) func(*request) {
		return body(`{"payload":` + payload + `,"target":{"token":["` + token1 + `"]},"pushOptions":` + options + `}`)
	}
	alert := func(notification string) func(*request) {
		return func(r *request) {
			r.pushType = "0"
			r.body = `{"payload":{"notification":` + notification + `},"target":{"token":["` + token1 + `"]}}`
		}
	}
	badType := illegalPayload("The header does not contain valid push-type")
	parameter := `{"code":"80100001","msg":"Check Parameter Error.","requestId":"R"}`
	noExtra := illegalPayload("extraData is missing, empty or not a string")
	badTTL := illegalPayload("ttl is not an integer of at most 1296000")
	expired := `{"code":"80100004","msg":"Illegal expire time.","requestId":"R"}`
	tooLong := `{"code":"80300008","msg":"Push message size is too long.","requestId":"R"}`
	const target = `"target":{"token":["` + token1 + `"]}`
	const good = `{"extraData":"x"}`

	for name, c := range map[string]struct {
		spoil  func(*request)
		status int
		want   string
	}{
		"accepted":               {func(*request) {}, 200, accepted},
		"get":                    {func(r *request) { r.method = "GET" }, 404, ""},
		"wrong path":             {func(r *request) { r.path = "/v2/" + projectID + "/messages:send" }, 404, ""},
		"revoke path":            {func(r *request) { r.path = "/v1/" + projectID + "/messages:revoke" }, 401, authFail}, // no client id
		"path goes on":           {func(r *request) { r.path += "/x" }, 404, ""},
		"root":                   {func(r *request) { r.path = "/" }, 404, ""},
		"no push-type":           {func(r *request) { r.pushType = "" }, 400, badType},
		"unknown push-type":      {func(r *request) { r.pushType = "3" }, 400, badType},
		"push-type by name":      {func(r *request) { r.pushType = "VoIP" }, 400, badType},
		"push-type with a zero":  {func(r *request) { r.pushType = "010" }, 400, badType},
		"not JSON":               {body("{"), 400, parameter},
		"empty body":             {body(""), 400, parameter},
		"JSON array":             {body("[]"), 400, parameter},
		"JSON null":              {body("null"), 400, parameter},
		"two values":             {body(exampleBody + "{}"), 400, parameter},
		"no target":              {body(`{"payload":` + good + `}`), 400, parameter},
		"target not an object":   {body(`{"payload":` + good + `,"target":[]}`), 400, parameter},
		"no token":               {body(`{"payload":` + good + `,"target":{}}`), 400, parameter},
		"token a string":         {body(`{"payload":` + good + `,"target":{"token":"x"}}`), 400, parameter},
		"token null":             {body(`{"payload":` + good + `,"target":{"token":null}}`), 400, parameter},
		"token with a null":      {body(`{"payload":` + good + `,"target":{"token":[null]}}`), 400, parameter},
		"token with a number":    {body(`{"payload":` + good + `,"target":{"token":[5]}}`), 400, parameter},
		"names match by case":    {body(`{"payload":` + good + `,"Target":{"token":["` + token1 + `"]}}`), 400, parameter},
		"no payload":             {body(`{` + target + `}`), 400, illegalPayload("payload is missing or not an object")},
		"payload a string":       {body(`{"payload":"x",` + target + `}`), 400, illegalPayload("payload is missing or not an object")},
		"no extraData":           {voip(`{}`, `{}`), 400, noExtra},
		"extraData empty":        {voip(`{"extraData":""}`, `{}`), 400, noExtra},
		"extraData an object":    {voip(`{"extraData":{"v":1}}`, `{}`), 400, noExtra},
		"biTag of 65 bytes":      {voip(good, `{"biTag":"`+strings.Repeat("b", 65)+`"}`), 400, illegalPayload("biTag is not a string of at most 64 bytes")},
		"biTag of 22 runes":      {voip(good, `{"biTag":"`+strings.Repeat("中", 22)+`"}`), 400, illegalPayload("biTag is not a string of at most 64 bytes")},
		"biTag of 64 bytes":      {voip(good, `{"biTag":"`+strings.Repeat("b", 64)+`"}`), 200, accepted},
		"ttl a string":           {voip(good, `{"ttl":"45"}`), 400, badTTL},
		"ttl a fraction":         {voip(good, `{"ttl":45.5}`), 400, badTTL},
		"ttl too long":           {voip(good, `{"ttl":1296001}`), 400, badTTL},
		"ttl longest":            {voip(good, `{"ttl":1296000}`), 200, accepted},
		"ttl zero":               {voip(good, `{"ttl":0}`), 400, expired},
		"ttl negative":           {voip(good, `{"ttl":-5}`), 400, expired},
		"pushOptions an array":   {voip(good, `[]`), 400, illegalPayload("pushOptions is not an object")},
		"testMessage a string":   {voip(good, `{"testMessage":"true"}`), 400, illegalPayload("testMessage is not a boolean")},
		"receiptId a number":     {voip(good, `{"receiptId":1}`), 400, illegalPayload("receiptId is not a string")},
		"collapseKey too high":   {voip(good, `{"collapseKey":101}`), 400, illegalPayload("collapseKey is not within -1 and 100")},
		"too long":               {voip(`{"extraData":"`+strings.Repeat("x", 4096)+`"}`, `{}`), 400, tooLong},
		"over what is read":      {body(strings.Repeat("x", 1<<20+1)), 400, tooLong},
		"no tokens":              {body(voipBody([]string{}, `{}`)), 400, `{"code":"80300010","msg":"token count should within 1 and 1000.","requestId":"R"}`},
		"1001 tokens":            {body(voipBody(many(1001), `{}`)), 400, `{"code":"80300010","msg":"token count should within 1 and 1000.","requestId":"R"}`},
		"1000 tokens":            {body(voipBody(many(1000), `{}`)), 200, accepted},
		"two widget tokens":      {func(r *request) { r.pushType = "1"; r.body = voipBody(many(2), `{}`) }, 400, `{"code":"80300010","msg":"token count should within 1 and 1.","requestId":"R"}`},
		"one widget token":       {func(r *request) { r.pushType = "1" }, 200, accepted},
		"11 test tokens":         {body(voipBody(many(11), `{"testMessage":true}`)), 400, `{"code":"80300030","msg":"When send test message, token count exceed limit.","requestId":"R"}`},
		"10 test tokens":         {body(voipBody(many(10), `{"testMessage":true}`)), 200, accepted},
		"some tokens bad":        {body(voipBody([]string{token1, "T2"}, `{}`)), 200, `{"code":"80100000","msg":"{\"illegalTokens\":{\"tokenFormatError\":[\"T2\"]},\"success\":1,\"failure\":1}","requestId":"R"}`},
		"all tokens bad":         {body(voipBody([]string{"T1", "T<2>"}, `{}`)), 400, `{"code":"80300007","msg":"{\"failure\":2,\"illegalTokens\":{\"tokenFormatError\":[\"T1\",\"T<2>\"]}}","requestId":"R"}`},
		"background":             {func(r *request) { r.pushType = "6" }, 200, accepted},
		"background, no extra":   {func(r *request) { r.pushType = "6"; voip(`{"proxyData":"ENABLE"}`, `{}`)(r) }, 400, noExtra},
		"background, proxy":      {func(r *request) { r.pushType = "6"; voip(`{"extraData":"x","proxyData":"yes"}`, `{}`)(r) }, 400, illegalPayload("proxyData is not ENABLE")},
		"alert":                  {func(r *request) { r.pushType = "0"; r.body = alertBody }, 200, accepted},
		"alert with a VoIP body": {func(r *request) { r.pushType = "0" }, 400, illegalPayload("notification is missing or not an object")},
		"alert, no category":     {alert(`{"title":"t","body":"b","clickAction":{"actionType":0}}`), 400, illegalPayload("category is missing, empty or not a string")},
		"alert, no title":        {alert(`{"category":"VOIP","body":"b","clickAction":{"actionType":0}}`), 400, illegalPayload("title is missing, empty or not a string")},
		"alert, no body":         {alert(`{"category":"VOIP","title":"t","clickAction":{"actionType":0}}`), 400, illegalPayload("body is missing, empty or not a string")},
		"alert, no clickAction":  {alert(`{"category":"VOIP","title":"t","body":"b"}`), 400, illegalPayload("clickAction is missing or not an object")},
		"alert, actionType 2":    {alert(`{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":2}}`), 400, illegalPayload("actionType is not 0 or 1")},
		"alert, page unnamed":    {alert(`{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":1}}`), 400, illegalPayload("actionType 1 needs action or uri")},
		"alert, page":            {alert(`{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":1,"uri":"a://b","data":{"k":"v"}}}`), 200, accepted},
		"alert, notifyId":        {alert(`{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":0},"notifyId":2147483648}`), 400, illegalPayload("notifyId is not within 0 and 2147483647")},
		"alert, appMessageId":    {alert(`{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":0},"appMessageId":"a:b"}`), 400, illegalPayload("appMessageId is not 1 to 64 characters of A-Za-z0-9+/=-_ and blank")},
		"alert, image":           {alert(`{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":0},"image":"http://x"}`), 400, illegalPayload("image is not an https address")},
		"alert, style":           {alert(`{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":0},"style":2}`), 400, illegalPayload("style is not 0, 1 or 3")},
		"alert, inbox":           {alert(`{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":0},"style":3,"inboxContent":["1","2","3","4"]}`), 400, illegalPayload("inboxContent does not have 1 to 3 lines")},
		"alert, badge":           {alert(`{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":0},"badge":{"addNum":100}}`), 400, illegalPayload("badge is out of range")},
		"alert, sound":           {alert(`{"category":"VOIP","title":"t","body":"b","clickAction":{"actionType":0},"soundDuration":61}`), 400, illegalPayload("soundDuration is not within 1 and 60")},
		"live view, free form":   {func(r *request) { r.pushType = "7"; voip(`{"activityId":1}`, `{}`)(r) }, 200, accepted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, pushkitsim.Options{})
			r := b.build()
			c.spoil(&r)
			b.wantSend(r, c.status, c.want)
			if len(b.sim.Messages("", 0)) != 1 {
				t.Error("the request was not recorded")
			}
			if ok := strings.Contains(c.want, "80000000") || strings.Contains(c.want, "80100000"); !ok {
				b.wantDeliveries(token1, 0)
			}
		})
	}
}

// TestSizeRule: the body's bytes with the token array emptied, blanks outside
// the array counted and those inside not.
func TestSizeRule(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	frame := len(voipBody([]string{}, `{"ttl":45}`)) - len(`{\"v\":1}`)
	tokens := make([]string, 300)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("MAMzLgFixtureToken%04d", i)
	}
	fill := func(n int) request {
		r := b.build(tokens...)
		r.body = strings.Replace(r.body, `{\"v\":1}`, strings.Repeat("x", n), 1)
		return r
	}
	tooLong := `{"code":"80300008","msg":"Push message size is too long.","requestId":"R"}`
	b.wantSend(fill(4096-frame), 200, accepted)
	b.wantSend(fill(4097-frame), 400, tooLong)
	spaced := fill(4096 - frame)
	spaced.body += " "
	b.wantSend(spaced, 400, tooLong)
	inside := fill(4096 - frame)
	inside.body = strings.ReplaceAll(inside.body, `","`, `" , "`)
	b.wantSend(inside, 200, accepted)
}

// TestOrderOfChecks starts with a request that is wrong in every way, and mends
// the fault that is answered until nothing is wrong.
func TestOrderOfChecks(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{Quotas: pushkitsim.Quotas{TestMessagesPerDay: 1}})
	used := b.build()
	used.body = voipBody([]string{token1}, `{"testMessage":true}`)
	b.wantSend(used, 200, accepted) // today's only test message

	b.addProject(pushkitsim.Project{ID: projectID, Disabled: true, Penalty: true, QPS: 1, Rights: []int{}})
	tokens := make([]string, 1001)
	for i := range tokens {
		tokens[i] = token1
	}
	long := strings.Repeat("x", 5000)
	extra, options := `{"extraData":1}`, `{"ttl":0,"testMessage":true,"biTag":"`+long+`"}`
	render := func(suffix string) string {
		return strings.Replace(strings.Replace(voipBody(tokens, `{}`), `{"extraData":"{\"v\":1}"}`, extra, 1), `"pushOptions":{}`, `"pushOptions":`+options, 1) + suffix
	}
	r := b.build()
	jwt, path := r.auth, r.path
	r.method, r.path, r.auth, r.pushType, r.body = "GET", "/v2/x", "", "", render("]")

	b.wantSend(r, 404, "")
	r.method, r.path = "POST", path
	b.wantSend(r, 401, authFail)
	r.auth = jwt
	b.wantSend(r, 400, illegalPayload("The header does not contain valid push-type"))
	r.pushType = "10"
	b.wantSend(r, 400, `{"code":"80100001","msg":"Check Parameter Error.","requestId":"R"}`)
	r.body = render("")
	b.wantSend(r, 400, illegalPayload("extraData is missing, empty or not a string"))
	extra = `{"extraData":"` + long + `"}`
	r.body = render("")
	b.wantSend(r, 400, `{"code":"80100004","msg":"Illegal expire time.","requestId":"R"}`)
	options = `{"ttl":45,"testMessage":true}`
	r.body = render("")
	b.wantSend(r, 400, `{"code":"80300008","msg":"Push message size is too long.","requestId":"R"}`)
	extra = `{"extraData":"x"}`
	r.body = render("")
	b.wantSend(r, 400, `{"code":"80300010","msg":"token count should within 1 and 1000.","requestId":"R"}`)
	tokens = tokens[:11]
	r.body = render("")
	b.wantSend(r, 400, `{"code":"80300030","msg":"When send test message, token count exceed limit.","requestId":"R"}`)
	tokens = tokens[:2]
	r.body = render("")
	b.wantSend(r, 400, `{"code":"80300029","msg":"When send test message, the api request exceed limit.","requestId":"R"}`)
	options = `{"ttl":45}`
	r.body = render("")
	b.wantSend(r, 400, `{"code":"80300037","msg":"Disable send huawei msg because of penalty.","requestId":"R"}`)
	b.addProject(pushkitsim.Project{ID: projectID, Disabled: true, QPS: 1, Rights: []int{}})
	b.wantSend(r, 400, `{"code":"80300002","msg":"No permission to send message to these tmIDs.","requestId":"R"}`)
	b.addProject(pushkitsim.Project{ID: projectID, QPS: 1, Rights: []int{}})
	b.wantSend(r, 503, "")
	b.addProject(pushkitsim.Project{ID: projectID, Rights: []int{}})
	b.wantSend(r, 400, `{"code":"80300007","msg":"{\"failure\":2,\"illegalTokens\":{\"noPushTypeRight\":[\"`+token1+`\",\"`+token1+`\"]}}","requestId":"R"}`)
	b.addProject(pushkitsim.Project{ID: projectID, Rights: []int{10}})
	b.wantSend(r, 200, accepted)
}

func TestQPS(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.addProject(pushkitsim.Project{ID: projectID, QPS: 3})
	r := b.build(token1, token2)
	b.wantSend(r, 200, accepted)
	b.wantSend(r, 503, "")
	b.wantVerdict("rejected:503", 503)
	b.wantSend(b.build(), 200, accepted) // what was refused did not count
	b.wantSend(b.build(), 503, "")
	b.clock.Advance(time.Second)
	b.wantSend(r, 200, accepted)
}

// TestTestQuota counts accepted test requests and starts anew each day.
func TestTestQuota(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{Quotas: pushkitsim.Quotas{TestMessagesPerDay: 2}})
	good, bad := b.build(), b.build()
	good.body = voipBody([]string{token1}, `{"testMessage":true}`)
	bad.body = voipBody([]string{"T1"}, `{"testMessage":true}`)
	over := `{"code":"80300029","msg":"When send test message, the api request exceed limit.","requestId":"R"}`
	b.wantSend(good, 200, accepted)
	b.wantSend(bad, 400, `{"code":"80300007","msg":"{\"failure\":1,\"illegalTokens\":{\"tokenFormatError\":[\"T1\"]}}","requestId":"R"}`)
	b.wantSend(good, 200, accepted)
	b.wantSend(good, 400, over)
	b.wantSend(b.build(), 200, accepted) // no test message
	b.clock.Advance(24 * time.Hour)
	good.auth = "Bearer " + b.jwt()
	b.wantSend(good, 200, accepted)
}
