package main_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/store/storetest"
)

// TestSecretsAsPeopleHaveThem: settings and key files that were through an editor,
// a shell or another system are read, and what is stored is clean; what cannot be
// read is told by what it is.
func TestSecretsAsPeopleHaveThem(t *testing.T) {
	t.Parallel()
	_, _, keyFile := pushKit(t)
	url, key := storetest.Database(t), newMasterKey()
	plain := setting{env: []string{"DATABASE_URL=" + url, "RELAY_MASTER_KEY=" + key}}
	plain.must(t, "app", "put", "shop")
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	other := newMasterKey()
	for name, env := range map[string][]string{
		"quotes, as docker --env-file keeps them": {`DATABASE_URL="` + url + `"`, "RELAY_MASTER_KEY='" + key + "'"},
		"files from Windows":                      {"DATABASE_URL_FILE=" + secretFile(t, "\ufeff"+url+"\r\n"), "RELAY_MASTER_KEY_FILE=" + secretFile(t, "\ufeff"+key+"\r\n")},
		"line breaks written out":                 {"DATABASE_URL=" + url + `\n`, "RELAY_MASTER_KEY=" + key + `\r\n`},
		"URL-safe base64 without padding":         {"DATABASE_URL=" + url, "RELAY_MASTER_KEY=" + base64.RawURLEncoding.EncodeToString(raw)},
		"two keys, a line each":                   {"DATABASE_URL=" + url, "RELAY_MASTER_KEY_FILE=" + secretFile(t, key+",\n"+other+"\n")},
	} {
		if out := (setting{env: env}).must(t, "app", "credential", "shop", "push_kit", keyFile); !strings.Contains(out, project) {
			t.Errorf("%s: %s", name, out)
		}
	}
	for name, c := range map[string]struct{ value, want string }{
		"hexadecimal":       {hex.EncodeToString(raw), "hexadecimal"},
		"with its name":     {"RELAY_MASTER_KEY=" + key, "name is written before it"},
		"too short":         {base64.StdEncoding.EncodeToString(raw[:16]), "but 16"},
		"no base64":         {"abc!", "is not 32 bytes in base64"},
		"only quotes":       {`""`, "RELAY_MASTER_KEY is empty"},
		"the second of two": {key + ",x", "master key 2"},
	} {
		s := setting{env: []string{"DATABASE_URL=" + url, "RELAY_MASTER_KEY=" + c.value}}
		if code, _, err := s.run(t, "app", "credential", "shop", "push_kit", keyFile); code != 1 || !strings.Contains(err, c.want) || strings.Contains(err, key[:12]) {
			t.Errorf("%s: exit code %d, %q; want 1 and %q", name, code, err, c.want)
		}
	}
	wide := setting{env: []string{"DATABASE_URL=" + url, "RELAY_MASTER_KEY_FILE=" + secretFile(t, strings.Join(strings.Split(key, ""), "\x00")+"\x00")}}
	if code, _, err := wide.run(t, "app", "credential", "shop", "push_kit", keyFile); code != 1 || !strings.Contains(err, "UTF-16 without a byte order mark") {
		t.Errorf("UTF-16: exit code %d, %q", code, err)
	}

	var fields map[string]string
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	with := func(private string) string {
		fields := map[string]string{"project_id": fields["project_id"], "key_id": fields["key_id"], "sub_account": fields["sub_account"], "private_key": private}
		data, _ := json.Marshal(fields)
		return string(data)
	}
	pem := fields["private_key"]
	for name, text := range map[string]string{
		"a byte order mark": "\ufeff" + string(data), "quotes": "'" + string(data) + "'", "base64": base64.StdEncoding.EncodeToString(data),
		`\n written out`: with(strings.ReplaceAll(pem, "\n", `\n`)), "one line": with(strings.ReplaceAll(pem, "\n", " ")), "CRLF": with(strings.ReplaceAll(pem, "\n", "\r\n")),
	} {
		out := plain.must(t, "app", "credential", "shop", "push_kit", secretFile(t, text))
		if !strings.Contains(out, project) {
			t.Errorf("Push Kit, %s: %s", name, out)
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"a .p8": {pem, "PEM key, not JSON"}, "cut off": {string(data[:len(data)-40]), "cut off"},
		"no last line": {with(strings.Split(pem, "-----END")[0]), "private_key is cut off"},
	} {
		if code, _, err := plain.run(t, "app", "credential", "shop", "push_kit", secretFile(t, c.text)); code != 1 || !strings.Contains(err, c.want) {
			t.Errorf("Push Kit, %s: exit code %d, %q; want %q", name, code, err, c.want)
		}
	}

	sim, err := apnssim.New(apnssim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := sim.NewKey(apnssim.KeyOptions{TeamID: "TEAM123456"})
	if err != nil {
		t.Fatal(err)
	}
	apple := func(text string) []string {
		return []string{"app", "credential", "shop", "apns", secretFile(t, text), "--team-id", "TEAM123456", "--key-id", made.KeyID}
	}
	for name, text := range map[string]string{
		"a byte order mark": "\ufeff" + made.P8, "quotes": `"` + made.P8 + `"`, `\n written out`: strings.ReplaceAll(made.P8, "\n", `\n`),
		"one line": strings.ReplaceAll(made.P8, "\n", " "), "CRLF": strings.ReplaceAll(made.P8, "\n", "\r\n"), "base64": base64.StdEncoding.EncodeToString([]byte(made.P8)),
	} {
		if out := plain.must(t, apple(text)...); !strings.Contains(out, made.KeyID) {
			t.Errorf("APNs, %s: %s", name, out)
		}
	}
	body := strings.Join(strings.Split(strings.TrimSpace(made.P8), "\n")[1:3], "\n")
	for name, c := range map[string]struct{ text, want string }{
		"JSON": {string(data), "this is JSON"}, "the middle alone": {strings.Split(strings.Split(made.P8, "KEY-----\n")[1], "\n-----")[0], "those lines are missing"},
		"binary": {"0\x81\x87\x02\x01", "binary"}, "cut off": {"-----BEGIN PRIVATE KEY-----\n" + body, "cut off"},
	} {
		if code, _, err := plain.run(t, apple(c.text)...); code != 1 || !strings.Contains(err, c.want) {
			t.Errorf("APNs, %s: exit code %d, %q; want %q", name, code, err, c.want)
		}
	}
}
