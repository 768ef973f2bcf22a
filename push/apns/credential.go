package apns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"regexp"
	"strings"

	"github.com/pushwake/relay/push/keyfile"
)

// Credential is an authentication token signing key of a team, as Apple's
// developer account issues it (a .p8 file), with the ids that the file does not
// contain.
type Credential struct {
	TeamID   string `json:"team_id"`             // 10 characters; the provider token's iss
	KeyID    string `json:"key_id"`              // 10 characters; the provider token's kid
	P8       string `json:"p8"`                  // the file's text: PKCS #8 in PEM, P-256
	BundleID string `json:"bundle_id,omitempty"` // the topic of devices that registered none
}

// Key is a parsed Credential. However it is printed or logged, the private key
// does not show.
type Key struct {
	TeamID   string
	KeyID    string
	BundleID string

	private     *ecdsa.PrivateKey
	fingerprint string // of the public key
}

// CredentialError lists all faults of a credential, for the operator who stored
// it. It quotes nothing of the key.
type CredentialError struct {
	Problems []string
}

func (e *CredentialError) Error() string {
	return "the APNs credential: " + strings.Join(e.Problems, "; ")
}

// tenCharacters is the form of team and key ids (Apple, Establishing a
// token-based connection to APNs).
var tenCharacters = regexp.MustCompile(`^[A-Z0-9]{10}$`)

// Check parses the key and checks the ids. Its error is a [*CredentialError].
func (c Credential) Check() (Key, error) {
	var problems []string
	if !tenCharacters.MatchString(c.TeamID) {
		problems = append(problems, "the team id must be 10 capital letters and digits, as the developer account's membership page shows it")
	}
	if !tenCharacters.MatchString(c.KeyID) {
		problems = append(problems, "the key id must be 10 capital letters and digits, as in the file's name AuthKey_<key id>.p8")
	}
	if !ValidBundleID(c.BundleID) {
		problems = append(problems, "the bundle id must be letters, digits, dots and hyphens")
	}
	private, problem := parseP8(c.P8)
	if problem != "" {
		problems = append(problems, problem)
	}
	if problems != nil {
		return Key{}, &CredentialError{problems}
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return Key{}, &CredentialError{[]string{"the key cannot be used"}}
	}
	sum := sha256.Sum256(der)
	return Key{TeamID: c.TeamID, KeyID: c.KeyID, BundleID: c.BundleID, private: private, fingerprint: hex.EncodeToString(sum[:8])}, nil
}

// Marshal writes the credential in the form in which it is stored, with the key as
// Apple gives it out.
func (c Credential) Marshal() ([]byte, error) {
	if clean, err := keyText(c.P8); err == nil {
		c.P8 = clean
	}
	return json.Marshal(c)
}

// ParseCredential reads and checks a stored credential. Its error is a
// [*CredentialError].
func ParseCredential(data []byte) (Key, error) {
	var c Credential
	if err := json.Unmarshal(data, &c); err != nil {
		return Key{}, &CredentialError{[]string{"it is not in the form in which the relay stores one"}}
	}
	return c.Check()
}

// keyText is a key file as Apple gives it out, made of one that has been through an
// editor, a shell or a variable.
func keyText(text string) (string, error) {
	text, err := keyfile.Text([]byte(text))
	switch {
	case err != nil:
		return "", errors.New("cannot be read: " + err.Error())
	case text == "":
		return "", errors.New("is empty")
	}
	return keyfile.PEM(text)
}

func parseP8(text string) (key *ecdsa.PrivateKey, problem string) {
	text, err := keyText(text)
	if err != nil {
		return nil, "the key file " + err.Error()
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block.Type == "CERTIFICATE":
		return nil, "the key file holds a certificate; make a key (.p8) in the developer account instead"
	case block.Type != "PRIVATE KEY":
		return nil, "the key file must hold a PRIVATE KEY, as Apple's .p8 does"
	case strings.TrimSpace(string(rest)) != "":
		return nil, "the key file holds more than one key"
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, "the key in the file cannot be read; download it again"
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, "the key must be an elliptic curve key on P-256, for Apple takes ES256 alone"
	}
	return key, ""
}

var bundleIDForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,154}$`)

// ValidBundleID reports whether text can be a bundle id; "" can, for none.
func ValidBundleID(text string) bool {
	return text == "" || bundleIDForm.MatchString(text)
}

// id identifies a key: the same key id with another private key is another key.
func (k Key) id() string { return k.TeamID + "/" + k.KeyID + "/" + k.fingerprint }
