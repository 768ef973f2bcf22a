package keyfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"

	"github.com/pushwake/relay/push/keyfile"
)

// newKey is a key as Apple gives one out.
func newKey(t *testing.T) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func utf16(t *testing.T, order unicode.Endianness, bom unicode.BOMPolicy, text string) string {
	out, err := unicode.UTF16(order, bom).NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// mangled is what becomes of a text that has line breaks, by how it was handled.
func mangled(t *testing.T, text string) map[string]string {
	quoted, _ := json.Marshal(text)
	return map[string]string{
		"as it is":                         text,
		"a byte order mark":                "\ufeff" + text,
		"UTF-16, little endian":            utf16(t, unicode.LittleEndian, unicode.UseBOM, text),
		"UTF-16, big endian":               utf16(t, unicode.BigEndian, unicode.UseBOM, text),
		"Windows line breaks":              strings.ReplaceAll(text, "\n", "\r\n"),
		"a byte order mark and Windows":    "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n"),
		"line breaks of old Macs":          strings.ReplaceAll(text, "\n", "\r"),
		"blanks around":                    "\n\n \t" + text + "\r\n \u00a0",
		"single quotes":                    "'" + text + "'",
		"double quotes":                    `"` + text + `"`,
		"typographic quotes":               "“" + text + "”",
		"a JSON string":                    string(quoted),
		"base64 of all":                    base64.StdEncoding.EncodeToString([]byte(text)),
		"base64 of all, in lines":          strings.Join(strings.SplitAfter(base64.StdEncoding.EncodeToString([]byte(text)), "M"), "\n"),
		"base64 with a byte order mark":    base64.StdEncoding.EncodeToString([]byte("\ufeff" + text)),
		"quotes, then a line break":        `"` + text + "\"\n",
		"a line break, written at its end": text + `\n`,
	}
}

func TestPEM(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	forms := mangled(t, key)
	for how, with := range map[string]string{
		`\n written out`: `\n`, `\r\n written out`: `\r\n`, `\n written out twice`: `\\n`, `\n and line breaks`: "\\n\n",
		"blanks for line breaks": " ", "no line breaks": "", "indented": "\n    ", "a backslash before each line break": "\\\n", "two line breaks": "\n\n",
	} {
		forms[how] = strings.ReplaceAll(key, "\n", with)
	}
	forms["text before and after"] = "Bag Attributes: none\n" + key + "\nmy key\n"
	forms[`slashes written as \/`] = strings.ReplaceAll(key, "/", `\/`)
	for how, text := range forms {
		plain, err := keyfile.Text([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if got, err := keyfile.PEM(plain); err != nil || got != key {
			t.Errorf("%s: %v; got %d bytes, want %d", how, err, len(got), len(key))
		}
	}
	if got, err := keyfile.PEM(strings.ReplaceAll(key+key, "\n", " ")); err != nil || got != key+key {
		t.Errorf("two keys: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(key), "\n")
	for what, c := range map[string]struct{ text, want string }{
		"nothing":               {"", "must begin with -----BEGIN PRIVATE KEY-----"},
		"no line but the first": {lines[0], "cut off: -----END PRIVATE KEY----- is missing"},
		"the last line missing": {strings.Join(lines[:len(lines)-1], "\n"), "cut off: -----END PRIVATE KEY----- is missing"},
		"the middle alone":      {strings.Join(lines[1:len(lines)-1], "\n"), "those lines are missing"},
		"a letter too few":      {strings.Replace(key, lines[1], lines[1][1:], 1), "not base64"},
		"a comma in it":         {strings.Replace(key, lines[1], ","+lines[1], 1), "not base64"},
		"dashes of a chat":      {strings.ReplaceAll(key, "-----", "—--"), "other dashes"},
		"JSON":                  {`{"project_id": "p"}`, "this is JSON"},
		"encrypted":             {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE\n-----END RSA PRIVATE KEY-----", "passphrase"},
	} {
		got, err := keyfile.PEM(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) || got != "" {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		} else if strings.Contains(err.Error(), lines[1][:16]) {
			t.Errorf("%s: the error quotes the key", what)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	file := map[string]string{"project_id": "p1", "private_key": key, "auth_uri": "https://h/t?a=b", "note": `a "quoted" \n and C:\new`}
	data, _ := json.MarshalIndent(file, "", "  ")
	text := string(data)
	forms := mangled(t, text)
	forms[`\n written out`] = strings.ReplaceAll(text, "\n", `\n`)
	forms[`\r\n written out`] = strings.ReplaceAll(text, "\n", `\r\n`)
	forms["in one line"] = strings.ReplaceAll(text, "\n", " ")
	forms["the key's line breaks made real"] = strings.ReplaceAll(text, strings.Trim(string(quote(key)), `"`), key)
	forms["the key's line breaks made real, on Windows"] = strings.ReplaceAll(text, strings.Trim(string(quote(key)), `"`), strings.ReplaceAll(key, "\n", "\r\n"))
	quoted := string(quote(text))
	forms["quotation marks written out"] = quoted[1 : len(quoted)-1]
	for how, form := range forms {
		plain, err := keyfile.Text([]byte(form))
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		object, err := keyfile.JSON(plain)
		var got map[string]string
		if err == nil {
			err = json.Unmarshal(object, &got)
		}
		if err != nil || len(got) != len(file) {
			t.Errorf("%s: %v, %d fields", how, err, len(got))
		}
		for name, want := range file {
			if got[name] != want {
				t.Errorf("%s: %s is %q", how, name, got[name])
			}
		}
	}
	for what, c := range map[string]struct{ text, want string }{
		"nothing": {" \n", "it is empty"}, "a list": {"[]", "not a JSON object"}, "null": {"null", "not a JSON object"}, "a word": {`"text"`, "not a JSON object"},
		"cut off": {text[:len(text)/2], "cut off"}, "a key": {key, "PEM key, not JSON"}, "single quotes": {"{'project_id': 'p'}", "not a JSON object"},
	} {
		if _, err := keyfile.JSON(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

func quote(text string) []byte {
	b, _ := json.Marshal(text)
	return b
}

func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", " \ufeff ": "", "a": "a", "\ufeffa\r\n": "a", `"a"`: "a", `'a'`: "a", "“a”": "a", `"a`: `"a`, `a"b"`: `a"b"`, `"`: `"`, `''`: "",
		"a\\n": "a", "\"a\\n\"\n": "a", "a\\b": "a\\b", utf16(t, unicode.LittleEndian, unicode.UseBOM, "a\n"): "a", "中": "中",
	} {
		if got, err := keyfile.Text([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"\xff\xfea", "a\xff", "a\x00b", utf16(t, unicode.LittleEndian, unicode.IgnoreBOM, "abc"), "0\x81\x87\x02\x01"} {
		if got, err := keyfile.Text([]byte(text)); err == nil || !strings.Contains(err.Error(), "no text in UTF-8") {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}

// FuzzText: whatever is given, what is made of it is what it says.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "\ufeff{}", `{\n"a":"\n"}`, "-----BEGIN A-----\\nMA==-----END A-----", "LS0tLS1CRUdJTiBBLS0tLS0=", `"\"{}"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := keyfile.Text(data)
		if err != nil {
			return
		}
		if out, err := keyfile.PEM(text); err == nil {
			if again, err := keyfile.PEM(out); err != nil || again != out {
				t.Errorf("PEM of its own PEM: %v", err)
			}
		}
		if out, err := keyfile.JSON(text); err == nil && !json.Valid(out) {
			t.Errorf("not JSON: %q", out)
		}
	})
}
