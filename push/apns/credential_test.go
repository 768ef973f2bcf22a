package apns_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/pushwake/relay/push/apns"
)

func p8(t *testing.T, kind string, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestCredential(t *testing.T) {
	t.Parallel()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := apns.Credential{TeamID: team, KeyID: "ABCDE12345", P8: p8(t, "PRIVATE KEY", p256), BundleID: bundle}
	stored, err := good.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	k, err := apns.ParseCredential(stored)
	if err != nil || k.TeamID != team || k.KeyID != "ABCDE12345" || k.BundleID != bundle {
		t.Fatalf("%+v, %v", k, err)
	}
	scalar, err := p256.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	secret := new(big.Int).SetBytes(scalar)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, k); strings.Contains(text, secret.String()) || strings.Contains(text, secret.Text(16)) {
			t.Errorf("%s shows the key: %s", verb, text)
		}
	}
	for _, test := range []struct {
		name   string
		change func(*apns.Credential)
		says   string
	}{
		{"team", func(c *apns.Credential) { c.TeamID = "team" }, "team id must be 10 capital letters"},
		{"key", func(c *apns.Credential) { c.KeyID = "" }, "key id must be 10 capital letters"},
		{"bundle", func(c *apns.Credential) { c.BundleID = "com example" }, "bundle id must be"},
		{"no file", func(c *apns.Credential) { c.P8 = " " }, "is empty"},
		{"not PEM", func(c *apns.Credential) { c.P8 = "MIGT" }, "not PEM"},
		{"a certificate", func(c *apns.Credential) { c.P8 = p8(t, "CERTIFICATE", p256) }, "certificate; make a key"},
		{"an older form", func(c *apns.Credential) { c.P8 = p8(t, "EC PRIVATE KEY", p256) }, "must hold a PRIVATE KEY"},
		{"two keys", func(c *apns.Credential) { c.P8 += c.P8 }, "more than one key"},
		{"another curve", func(c *apns.Credential) { c.P8 = p8(t, "PRIVATE KEY", p384) }, "P-256"},
		{"RSA", func(c *apns.Credential) { c.P8 = p8(t, "PRIVATE KEY", rsaKey) }, "P-256"},
		{"cut off", func(c *apns.Credential) {
			c.P8 = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
		}, "cannot be read"},
	} {
		c := good
		test.change(&c)
		_, err := c.Check()
		var problems *apns.CredentialError
		if !errors.As(err, &problems) || len(problems.Problems) != 1 || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	_, err = apns.Credential{TeamID: "x", P8: "y"}.Check()
	var all *apns.CredentialError
	if !errors.As(err, &all) || len(all.Problems) != 3 {
		t.Errorf("not all problems at once: %v", err)
	}
	if _, err := apns.ParseCredential([]byte("x")); err == nil {
		t.Error("anything is taken for a stored credential")
	}
}
