package pushkit

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/pushwake/relay/push/keyfile"
)

// minKeyBits is the smallest RSA key accepted. Huawei's own have 4096 bits; RFC
// 7518, section 3.5, asks for 2048 or more with PS256.
const minKeyBits = 2048

// KeyFile is a service account's key, as the HUAWEI Developers console gives it
// (service account key file). However it is printed or logged, the private key
// does not show.
type KeyFile struct {
	ProjectID  string // the AppGallery Connect project
	KeyID      string // the JWT's kid
	SubAccount string // the JWT's iss
	ClientID   string // the app's, by which notifications are taken back; no file has it before [AddClientID]

	Callback Callback // what receipts are signed with; no file has it before [AddCallback]

	private *rsa.PrivateKey
}

// KeyFileError lists all that is wrong with a key file, in words for the
// operator who stored it. It quotes nothing of the file but its field names.
type KeyFileError struct {
	Problems []string
}

func (e *KeyFileError) Error() string {
	return "the key file of Push Kit: " + strings.Join(e.Problems, "; ")
}

// ParseKeyFile reads and checks a service account's JSON key file. Its error is
// a [*KeyFileError].
func ParseKeyFile(data []byte) (KeyFile, error) {
	_, k, err := readKeyFile(data)
	return k, err
}

// CleanKeyFile is a key file as the console gives it out, made of one that has been
// through an editor, a shell or a variable: with a byte order mark, between quotes,
// with line breaks lost or written out. Its error is a [*KeyFileError].
func CleanKeyFile(data []byte) ([]byte, error) {
	fields, _, err := readKeyFile(data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// readKeyFile reads the fields of a key file, its private key as clean PEM.
func readKeyFile(data []byte) (map[string]json.RawMessage, KeyFile, error) {
	text, err := keyfile.Text(data)
	var object []byte
	if err == nil {
		object, err = keyfile.JSON(text)
	}
	if err != nil {
		return nil, KeyFile{}, &KeyFileError{[]string{err.Error() + "; use the file as downloaded from the HUAWEI Developers console"}}
	}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(object, &fields) // a valid object
	r := keyFileReader{fields: fields}
	k := KeyFile{ProjectID: r.id("project_id"), KeyID: r.id("key_id"), SubAccount: r.id("sub_account")}
	if k.ProjectID != "" && strings.ContainsAny(k.ProjectID, "/?#%") {
		r.problem("project_id is not a project id of AppGallery Connect")
	}
	if _, given := fields["client_id"]; given {
		k.ClientID = r.id("client_id")
	}
	if strings.ContainsAny(k.ClientID, "/?#%") {
		r.problem("client_id is not a client id of AppGallery Connect")
	}
	_, user := fields["callback_user"]
	_, secret := fields["callback_secret"]
	if user || secret {
		k.Callback = Callback{User: r.text("callback_user"), Secret: r.text("callback_secret")}
	}
	k.private = r.privateKey("private_key")
	if len(r.problems) > 0 {
		return nil, KeyFile{}, &KeyFileError{r.problems}
	}
	return fields, k, nil
}

// AddClientID writes an app's client id into a key file. A service account
// belongs to a project, which may have several apps, so the file as issued has
// none. Its error is a [*KeyFileError].
func AddClientID(data []byte, id string) ([]byte, error) {
	fields, _, err := readKeyFile(data)
	if err != nil {
		return nil, err
	}
	fields["client_id"], _ = json.Marshal(id)
	data, _ = json.Marshal(fields) // what was read can be written
	_, err = ParseKeyFile(data)
	return data, err
}

// AddCallback writes into a key file what receipts are signed with; one that is
// not set takes it out. Its error is a [*KeyFileError].
func AddCallback(data []byte, c Callback) ([]byte, error) {
	fields, _, err := readKeyFile(data)
	if err != nil {
		return nil, err
	}
	delete(fields, "callback_user")
	delete(fields, "callback_secret")
	if c.Set() {
		fields["callback_user"], _ = json.Marshal(c.User)
		fields["callback_secret"], _ = json.Marshal(c.Secret)
	}
	return json.Marshal(fields)
}

// CallbackOf reads of a stored key file what receipts are signed with, and
// nothing else: the private key takes a hundred times as long. It is not set
// where the file has none.
func CallbackOf(data []byte) (Callback, error) {
	var fields struct {
		User   string `json:"callback_user"`
		Secret string `json:"callback_secret"`
	}
	if json.Unmarshal(data, &fields) != nil {
		return Callback{}, &KeyFileError{[]string{"it is not JSON"}}
	}
	return Callback(fields), nil
}

// PublicKey is the half of the key that a server, or a simulator, checks JWTs with.
func (k KeyFile) PublicKey() *rsa.PublicKey {
	if k.private == nil {
		return nil
	}
	return &k.private.PublicKey
}

func (k KeyFile) String() string {
	return fmt.Sprintf("Push Kit service account %s, key %s, project %s", k.SubAccount, k.KeyID, k.ProjectID)
}

// Format prints the same as String under every verb, so that none of them
// reaches the private key.
func (k KeyFile) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is what slog writes.
func (k KeyFile) LogValue() slog.Value {
	return slog.GroupValue(slog.String("project_id", k.ProjectID), slog.String("key_id", k.KeyID), slog.String("sub_account", k.SubAccount))
}

// keyFileReader gathers the problems of a key file.
type keyFileReader struct {
	fields   map[string]json.RawMessage
	problems []string
}

func (r *keyFileReader) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// text returns a field that must be a string with something in it, "" after a problem.
func (r *keyFileReader) text(name string) string {
	raw, ok := r.fields[name]
	if !ok || string(raw) == "null" {
		r.problem("%s is missing", name)
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		r.problem("%s is not a string", name)
		return ""
	}
	if strings.TrimSpace(s) == "" {
		r.problem("%s is empty", name)
		return ""
	}
	return s
}

// id returns a field that names something: one line of visible ASCII.
func (r *keyFileReader) id(name string) string {
	s := r.text(name)
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			r.problem("%s contains blanks or characters that no id has", name)
			return ""
		}
	}
	return s
}

func (r *keyFileReader) privateKey(name string) *rsa.PrivateKey {
	text := r.text(name)
	if text == "" {
		return nil
	}
	text, err := keyfile.PEM(text)
	if err != nil {
		r.problem("%s %v", name, err)
		return nil
	}
	r.fields[name], _ = json.Marshal(text) // a string can be written
	block, _ := pem.Decode([]byte(text))
	switch block.Type {
	case "PRIVATE KEY":
	case "RSA PRIVATE KEY":
		r.problem("%s is PKCS#1 (RSA PRIVATE KEY); PKCS#8 is needed: openssl pkcs8 -topk8 -nocrypt", name)
		return nil
	case "ENCRYPTED PRIVATE KEY":
		r.problem("%s is encrypted with a passphrase; store it without one", name)
		return nil
	default:
		r.problem("%s is a PEM block of another kind; a PRIVATE KEY (PKCS#8) is needed", name)
		return nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		r.problem("%s is not a PKCS#8 key: it may be cut off or altered", name)
		return nil
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		r.problem("%s is not an RSA key, which PS256 needs", name)
		return nil
	}
	if bits := key.N.BitLen(); bits < minKeyBits {
		r.problem("%s has %d bits; at least %d are needed", name, bits, minKeyBits)
		return nil
	}
	return key
}
