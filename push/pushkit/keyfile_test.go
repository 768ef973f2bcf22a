package pushkit_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/pushwake/relay/push/pushkit"
)

func TestParseKeyFile(t *testing.T) {
	t.Parallel()
	k, err := pushkit.ParseKeyFile(asJSON(t, keyFields(t)))
	if err != nil {
		t.Fatal(err)
	}
	if k.ProjectID != testProject || k.KeyID != testKeyID || k.SubAccount != testAccount {
		t.Errorf("got %v", k)
	}
	if !k.PublicKey().Equal(testKey().Public()) {
		t.Error("PublicKey is of another key")
	}
}

func TestParseKeyFileAcceptsLineBreaksEscapedTwice(t *testing.T) {
	t.Parallel()
	fields := keyFields(t)
	fields["private_key"] = strings.ReplaceAll(pkcs8(t, testKey()), "\n", `\n`)
	if _, err := pushkit.ParseKeyFile(asJSON(t, fields)); err != nil {
		t.Error(err)
	}
}

func TestParseKeyFileTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	tests := []struct {
		name  string
		field string
		value any // nil removes the field
		want  string
	}{
		{"no project", "project_id", nil, "project_id is missing"},
		{"null project", "project_id", json.RawMessage("null"), "project_id is missing"},
		{"project as number", "project_id", 736430079, "project_id is not a string"},
		{"project with a path", "project_id", "a/b", "project_id is not a project id"},
		{"empty key id", "key_id", " ", "key_id is empty"},
		{"blank in key id", "key_id", "k 1", "key_id contains blanks"},
		{"no sub account", "sub_account", nil, "sub_account is missing"},
		{"no private key", "private_key", nil, "private_key is missing"},
		{"not PEM", "private_key", "MIIE", "private_key is not PEM"},
		{"PKCS#1", "private_key", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(testKey())), "openssl pkcs8"},
		{"encrypted", "private_key", block("ENCRYPTED PRIVATE KEY", []byte{1}), "passphrase"},
		{"certificate", "private_key", block("CERTIFICATE", []byte{1}), "another kind"},
		{"cut off", "private_key", block("PRIVATE KEY", []byte{0x30, 1}), "cut off or altered"},
		{"elliptic curve", "private_key", pkcs8(t, ec), "not an RSA key"},
		{"small", "private_key", pkcs8(t, small), "1024 bits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fields := keyFields(t)
			fields[tt.field] = tt.value
			if tt.value == nil {
				delete(fields, tt.field)
			}
			_, err := pushkit.ParseKeyFile(asJSON(t, fields))
			var problems *pushkit.KeyFileError
			if !errors.As(err, &problems) || len(problems.Problems) != 1 || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want one problem with %q", err, tt.want)
			}
		})
	}
	for _, text := range []string{"", "  \n", "null", "[]", `"text"`, "{", "MA"} {
		if _, err := pushkit.ParseKeyFile([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestNewReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := pushkit.New(pushkit.Config{KeyFile: []byte("{}"), BaseURL: "push.example.com"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"project_id", "key_id", "sub_account", "private_key", "base URL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	for _, base := range []string{"ftp://h", "https://", "https://u:p@h", "https://h?x=1", "https://h/#f", ":"} {
		if _, err := pushkit.New(pushkit.Config{KeyFile: asJSON(t, keyFields(t)), BaseURL: base}); err == nil {
			t.Errorf("base URL %q was accepted", base)
		}
	}
}

func TestKeyFileNeverPrintsItsPrivateKey(t *testing.T) {
	t.Parallel()
	k, err := pushkit.ParseKeyFile(asJSON(t, keyFields(t)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		fmt.Fprintf(&out, verb+verb+"\n", k, &k)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", k)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", k)
	out.Write(asJSON(t, k))
	key := testKey()
	for _, secret := range []string{key.D.String(), key.D.Text(16), key.Primes[0].String(), key.Primes[0].Text(16), "PRIVATE KEY"} {
		if strings.Contains(out.String(), secret) {
			t.Fatal("the private key was printed")
		}
	}
	if !strings.Contains(out.String(), testAccount) {
		t.Error("the account is not named")
	}
}
