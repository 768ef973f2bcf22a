package pushkitsim_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

const (
	jwtExpired = `{"code":"80200005","msg":"Jwt token expired.","requestId":"R"}`
	jwtPeriod  = `{"code":"80300036","msg":"JWT expire period over threshold.","requestId":"R"}`
)

func TestAuthorization(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	key, public := testKey()
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b.addProject(pushkitsim.Project{ID: otherID, SubAccount: "other", KeyID: "k-other", PublicKey: publicPEM(&stranger.PublicKey)})

	with := func(edit func(jwt.MapClaims)) jwt.MapClaims {
		c := b.claims()
		edit(c)
		return c
	}
	ps := func(edit func(jwt.MapClaims)) string {
		return "Bearer " + sign(jwt.SigningMethodPS256, keyID, with(edit), key)
	}
	set := func(name string, v any) string { return ps(func(c jwt.MapClaims) { c[name] = v }) }
	drop := func(name string) string { return ps(func(c jwt.MapClaims) { delete(c, name) }) }
	now := b.clock.Now().Unix()
	right := "Bearer " + b.jwt()

	for _, c := range []struct {
		name, auth string
		status     int
		want       string
	}{
		{"right", right, 200, accepted},
		{"scheme in lower case", "b" + right[1:], 200, accepted},
		{"audience as a list", set("aud", []string{pushkitsim.TokenURI}), 200, accepted},
		{"no header", "", 401, authFail},
		{"no token", "Bearer ", 401, authFail},
		{"other scheme", "Basic " + right[len("Bearer "):], 401, authFail},
		{"no scheme", right[len("Bearer "):], 401, authFail},
		{"OAuth access token", "Bearer DAECAPx0lI5S8uYc3Zc8J4m2qg==", 401, authFail},
		{"two parts", right[:strings.LastIndex(right, ".")], 401, authFail},
		{"signature broken", right[:len(right)-8] + "AAAAAAAA", 401, authFail},
		{"signature empty", right[:strings.LastIndex(right, ".")+1], 401, authFail},
		{"claims of another", mixed(right, set("iat", now-1)), 401, authFail},
		{"HS256 with the public key as secret", "Bearer " + sign(jwt.SigningMethodHS256, keyID, b.claims(), []byte(public)), 401, authFail},
		{"RS256", "Bearer " + sign(jwt.SigningMethodRS256, keyID, b.claims(), key), 401, authFail},
		{"PS384", "Bearer " + sign(jwt.SigningMethodPS384, keyID, b.claims(), key), 401, authFail},
		{"none", "Bearer " + sign(jwt.SigningMethodNone, keyID, b.claims(), jwt.UnsafeAllowNoneSignatureType), 401, authFail},
		{"PS256 named over an RS256 signature", "Bearer " + relabelled(key, b.claims()), 401, authFail},
		{"salt of another length", "Bearer " + salted(key, "PS256", b.claims(), 20), 401, authFail},
		{"salt as long as the hash", "Bearer " + salted(key, "PS256", b.claims(), 32), 200, accepted},
		{"RS256 named over a PS256 signature", "Bearer " + salted(key, "RS256", b.claims(), 32), 401, authFail},
		{"none named over a PS256 signature", "Bearer " + salted(key, "none", b.claims(), 32), 401, authFail},
		{"no kid", "Bearer " + sign(jwt.SigningMethodPS256, "", b.claims(), key), 401, authFail},
		{"wrong kid", "Bearer " + sign(jwt.SigningMethodPS256, "k-2", b.claims(), key), 401, authFail},
		{"kid of another project", "Bearer " + sign(jwt.SigningMethodPS256, "k-other", b.claims(), key), 401, authFail},
		{"wrong key", "Bearer " + sign(jwt.SigningMethodPS256, keyID, b.claims(), stranger), 401, authFail},
		{"no iss", drop("iss"), 401, authFail},
		{"wrong iss", set("iss", "116700002"), 401, authFail},
		{"no aud", drop("aud"), 401, authFail},
		{"wrong aud", set("aud", "https://oauth-login.cloud.huawei.com/oauth2/v2/token"), 401, authFail},
		{"no iat", drop("iat"), 401, authFail},
		{"no exp", drop("exp"), 401, authFail},
		{"exp a string", set("exp", "soon"), 401, authFail},
		{"exp now", set("exp", now), 401, jwtExpired},
		{"exp past", set("exp", now-1), 401, jwtExpired},
		{"exp past and too long", ps(func(c jwt.MapClaims) { c["iat"], c["exp"] = now-200_000, now-1 }), 401, jwtExpired},
		{"iss wrong and exp past", ps(func(c jwt.MapClaims) { c["iss"], c["exp"] = "x", now-1 }), 401, authFail},
		{"a day", set("exp", now+86400), 200, accepted},
		{"a day and a second", set("exp", now+86401), 400, jwtPeriod},
		{"iat a little ahead", set("iat", now+60), 200, accepted},
		{"iat ahead", set("iat", now+62), 401, authFail},
		{"another project's", "Bearer " + sign(jwt.SigningMethodPS256, "k-other", with(func(c jwt.MapClaims) { c["iss"] = "other" }), stranger), 401, authFail},
		{"another project's, expired", "Bearer " + sign(jwt.SigningMethodPS256, "k-other", with(func(c jwt.MapClaims) { c["iss"] = "other"; c["exp"] = now - 1 }), stranger), 401, jwtExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := b.build()
			r.auth = c.auth
			r.body = "{" // a later fault that must not be told first
			want, status := c.want, c.status
			if c.want == accepted {
				want, status = `{"code":"80100001","msg":"Check Parameter Error.","requestId":"R"}`, 400
			}
			b := *b
			b.T = t
			b.wantSend(r, status, want)
			b.wantSend(r, status, want) // the second time from memory, with the same answer
		})
	}
}

// mixed joins the header and claims of one JWT with the signature of another.
func mixed(a, b string) string {
	return a[:strings.LastIndex(a, ".")] + b[strings.LastIndex(b, "."):]
}

func signingInput(alg string, claims jwt.MapClaims) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","kid":"` + keyID + `","typ":"JWT"}`))
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return header + "." + base64.RawURLEncoding.EncodeToString(text)
}

// relabelled carries a PKCS #1 v1.5 signature under the name PS256.
func relabelled(key *rsa.PrivateKey, claims jwt.MapClaims) string {
	in := signingInput("PS256", claims)
	sum := sha256.Sum256([]byte(in))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return in + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// salted carries a PSS signature over SHA-256, as PS256 does, under any name.
func salted(key *rsa.PrivateKey, alg string, claims jwt.MapClaims, salt int) string {
	in := signingInput(alg, claims)
	sum := sha256.Sum256([]byte(in))
	sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt})
	if err != nil {
		panic(err)
	}
	return in + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestUnknownProject(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	r := b.build()
	r.path = "/v3/1/messages:send"
	b.wantSend(r, 401, authFail)
}

// TestJWTIsRemembered: a remembered JWT still expires, and dies with its key.
func TestJWTIsRemembered(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	r := b.build()
	b.wantSend(r, 200, accepted)
	b.clock.Advance(time.Hour - time.Second)
	b.wantSend(r, 200, accepted)
	b.clock.Advance(time.Second)
	b.wantSend(r, 401, jwtExpired)

	r = b.build()
	b.wantSend(r, 200, accepted)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b.addProject(pushkitsim.Project{ID: projectID, SubAccount: subAccount, KeyID: keyID, PublicKey: publicPEM(&stranger.PublicKey)})
	b.wantSend(r, 401, authFail)
	b.sim.RemoveProject(projectID)
	b.wantSend(r, 401, authFail)
}

// TestServiceAccount signs with the key file as the console gives it.
func TestServiceAccount(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	file := map[string]string{}
	first, err := b.sim.NewServiceAccount("42")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(first, &file); err != nil {
		t.Fatal(err)
	}
	second := map[string]string{}
	b.control("POST", "/sim/projects/42/service-accounts", "", 200, &second)
	for _, f := range []map[string]string{file, second} { // a second account leaves the first
		block, rest := pem.Decode([]byte(f["private_key"]))
		if block == nil || block.Type != "PRIVATE KEY" || len(rest) != 0 {
			t.Fatalf("private_key is not one PKCS #8 block: %q", f["private_key"])
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		claims := b.claims()
		claims["iss"], claims["aud"] = f["sub_account"], f["token_uri"]
		r := b.build()
		r.path, r.auth = "/v3/42/messages:send", "Bearer "+sign(jwt.SigningMethodPS256, f["key_id"], claims, key)
		b.wantSend(r, 200, accepted)
	}
	for _, name := range []string{"private_key", "key_id", "sub_account"} {
		if file[name] == second[name] {
			t.Errorf("two accounts share %s", name)
		}
		delete(file, name)
	}
	const oauth = "https://oauth-login.cloud.huawei.com/oauth2/v3/"
	equal(t, file, map[string]string{"project_id": "42", "auth_uri": oauth + "authorize", "token_uri": oauth + "token",
		"auth_provider_cert_uri": oauth + "certs", "client_cert_uri": oauth + "x509?client_id="})
}

func TestProjectOverControl(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	_, public := testKey()
	pemText, err := json.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	b.control("PUT", "/sim/projects/"+otherID, `{"sub_account":"`+subAccount+`","key_id":"`+keyID+`","public_key":`+string(pemText)+`,"enabled":false,"rights":[0],"qps":9}`, 200, &got)
	equal(t, got, map[string]any{"project_id": otherID, "key_ids": []any{keyID}, "enabled": false, "penalty": false, "rights": []any{0.0}, "qps": 9.0, "package": "com.example.voip",
		"client_id": pushkitsim.ClientID(otherID)})
	r := b.build()
	r.path = "/v3/" + otherID + "/messages:send"
	b.wantSend(r, 400, `{"code":"80300002","msg":"No permission to send message to these tmIDs.","requestId":"R"}`)
	b.control("PUT", "/sim/projects/"+otherID, `{"enabled":true}`, 200, nil)
	b.wantSend(r, 400, `{"code":"80300007","msg":"{\"failure\":1,\"illegalTokens\":{\"noPushTypeRight\":[\"`+token1+`\"]}}","requestId":"R"}`)
	b.control("PUT", "/sim/projects/"+otherID, `{"rights":null}`, 200, nil)
	b.wantSend(r, 200, accepted)
	b.control("PUT", "/sim/projects/"+otherID, `{"penalty":true}`, 200, nil)
	b.wantSend(r, 400, `{"code":"80300037","msg":"Disable send huawei msg because of penalty.","requestId":"R"}`)
	b.control("DELETE", "/sim/projects/"+otherID, ``, 204, nil)
	b.wantSend(r, 401, authFail)
}

func TestShortKeyIsRefused(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	s := pushkitsim.New(pushkitsim.Options{})
	if err := s.AddProject(pushkitsim.Project{ID: "1", SubAccount: "1", KeyID: "k", PublicKey: publicPEM(&key.PublicKey)}); err == nil {
		t.Error("a key of 1024 bits was taken")
	}
}
