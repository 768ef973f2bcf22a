// Package keyfile reads keys and secrets as people have them: files with a byte
// order mark or in UTF-16, values between quotes, line breaks written out as \n
// on the way through an environment variable, PEM in one line, a whole file in
// base64. Where that cannot be undone, it says which of these it is.
package keyfile

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Text is what a file or a variable holds, without a byte order mark, blanks
// around it, a line break written out at its end, and quotes around all of it.
// Its error says why it is no text.
func Text(data []byte) (string, error) {
	plain, _, err := transform.Bytes(unicode.BOMOverride(transform.Nop), data)
	text := string(plain)
	if err != nil || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\ufffd") {
		return "", errors.New("it is no text in UTF-8: it is binary, or in UTF-16 without a byte order mark")
	}
	return trim(text), nil
}

var quotes = []struct{ open, end string }{{`"`, `"`}, {`'`, `'`}, {"“", "”"}, {"‘", "’"}, {"`", "`"}}

func trim(text string) string {
	for {
		before := text
		text = strings.Trim(text, " \t\r\n\v\f\u00a0\u200b\ufeff")
		for _, written := range []string{`\n`, `\r`} {
			text = strings.TrimSuffix(text, written)
		}
		for _, q := range quotes {
			if inner, ok := strings.CutPrefix(text, q.open); ok && strings.HasSuffix(inner, q.end) {
				text = strings.TrimSuffix(inner, q.end)
			}
		}
		if text == before {
			return text
		}
	}
}

var (
	beginLine = regexp.MustCompile(`-----BEGIN ([A-Z0-9 ]+)-----`)
	escapes   = regexp.MustCompile(`\\+[nrt]?`)
	noBase64  = regexp.MustCompile(`[\s\x{00a0}\x{200b}\x{feff}]+`)
)

// PEM writes keys and certificates in the form in which programs read them, one
// block after the other, with line breaks where they belong. Its error completes a
// sentence that begins with what the text is, and quotes nothing of it.
func PEM(text string) (string, error) {
	text = trim(text)
	if whole, ok := unwrapped(text); ok && strings.Contains(whole, "-----BEGIN ") {
		text = trim(whole)
	}
	if strings.HasPrefix(text, "{") { // a key inside of it is not what was asked for
		return "", notPEM(text)
	}
	text = escapes.ReplaceAllString(text, "\n")
	var out strings.Builder
	for begin := beginLine.FindStringSubmatchIndex(text); begin != nil; begin = beginLine.FindStringSubmatchIndex(text) {
		kind := text[begin[2]:begin[3]]
		end := "-----END " + kind + "-----"
		body, rest, found := strings.Cut(text[begin[1]:], end)
		if !found {
			return "", fmt.Errorf("is cut off: %s is missing", end)
		}
		if strings.Contains(body, ":") {
			return "", errors.New("is encrypted with a passphrase; store it without one")
		}
		der, err := base64.StdEncoding.DecodeString(noBase64.ReplaceAllString(body, ""))
		if err != nil {
			return "", fmt.Errorf("is cut off or altered: what stands before %s is not base64", end)
		}
		out.Write(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
		text = rest
	}
	if out.Len() == 0 {
		return "", notPEM(text)
	}
	return out.String(), nil
}

// notPEM says what a text without a BEGIN line seems to be.
func notPEM(text string) error {
	const not = "is not PEM: it must begin with -----BEGIN PRIVATE KEY-----"
	der, err := base64.StdEncoding.DecodeString(noBase64.ReplaceAllString(text, ""))
	switch {
	case strings.ContainsAny(text, "–—−"):
		return errors.New(not + ", and has other dashes in the place of these, as a word processor or a chat puts them")
	case strings.HasPrefix(text, "{"):
		return errors.New(not + ", and this is JSON")
	case err == nil && len(der) > 2 && der[0] == 0x30: // a DER sequence
		return errors.New(not + " and end with -----END PRIVATE KEY-----, and those lines are missing")
	}
	return errors.New(not)
}

// JSON is the JSON object that a text holds. Its error says what is wrong with it,
// and quotes nothing of it.
func JSON(text string) ([]byte, error) {
	text = trim(text)
	if text == "" {
		return nil, errors.New("it is empty")
	}
	if whole, ok := unwrapped(text); ok {
		text = trim(whole)
	}
	for _, form := range []func(string) string{
		func(s string) string { return s },
		func(s string) string { return unescape(`"` + s + `"`) }, // the inside of a JSON string
		mendBreaks,
		func(s string) string { return mendBreaks(unescape(`"` + s + `"`)) },
	} {
		if object := trim(form(text)); strings.HasPrefix(object, "{") && json.Valid([]byte(object)) {
			return []byte(object), nil
		}
	}
	var syntax *json.SyntaxError
	switch err := json.Unmarshal([]byte(text), new(any)); {
	case strings.HasPrefix(text, "-----BEGIN "):
		return nil, errors.New("it is a PEM key, not JSON")
	case strings.HasPrefix(text, "{") && errors.As(err, &syntax) && syntax.Offset >= int64(len(text)):
		return nil, errors.New("it is JSON that is cut off before its end")
	}
	return nil, errors.New("it is not a JSON object")
}

func unescape(quoted string) string {
	var s string
	if json.Unmarshal([]byte(quoted), &s) != nil {
		return ""
	}
	return s
}

// mendBreaks puts line breaks of JSON right that went through a shell or a
// variable: outside of strings those written out as \n are taken away, and inside
// of strings real ones are written out.
func mendBreaks(s string) string {
	var out strings.Builder
	inside := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && inside:
			out.WriteString(s[i : i+2])
			i++
		case c == '\\' && i+1 < len(s) && strings.IndexByte("nrt", s[i+1]) >= 0:
			i++
		case inside && c == '\n':
			out.WriteString(`\n`)
		case inside && c == '\r':
		default:
			if c == '"' {
				inside = !inside
			}
			out.WriteByte(c)
		}
	}
	return out.String()
}

// unwrapped is a text that was put into base64 as a whole; ok is false for any
// other.
func unwrapped(text string) (whole string, ok bool) {
	data, err := base64.StdEncoding.DecodeString(noBase64.ReplaceAllString(text, ""))
	if err != nil {
		return "", false
	}
	whole, err = Text(data)
	return whole, err == nil && (strings.HasPrefix(whole, "{") || strings.HasPrefix(whole, "-----BEGIN "))
}
