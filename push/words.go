package push

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/pushwake/relay/call"
)

// Mask stands where a secret was.
const Mask = "***"

const maxTitle = 128 // bytes of a caller's name shown as title; no vendor documents a limit

// AlertText is the text of an alert about a call.
type AlertText struct {
	Titles []string // in order of preference: the caller's name is dropped before an id of the wake
	Body   string
}

// The words of an alert.
var (
	alertTitle = call.Say("Incoming call", "来电") // where the caller has no name, or it may not travel
	alertVoice = call.Say("Incoming voice call", "语音来电")
	alertVideo = call.Say("Incoming video call", "视频来电")

	missedTitle = call.Say("Missed call", "未接来电")
	missedVoice = call.Say("Missed voice call", "未接语音来电")
	missedVideo = call.Say("Missed video call", "未接视频来电")
)

// AlertTextOf chooses the text by the device's locale, except for a text that
// an app has of its own.
func AlertTextOf(m Message) AlertText {
	title, voice, video := alertTitle, alertVoice, alertVideo
	if m.Purpose == call.PurposeMissedCall {
		title, voice, video = missedTitle, missedVoice, missedVideo
	}
	l := call.LanguageOf(m.Locale)
	text := AlertText{Titles: []string{title.In(l)}, Body: voice.In(l)}
	if m.Payload.Media == call.Video {
		text.Body = video.In(l)
	}
	if own := oneLine(m.Text, call.MaxNoticeText); own != "" {
		text.Body = own
	}
	if c := m.Payload.Caller; c != nil {
		if name := oneLine(c.Name, maxTitle); name != "" {
			text.Titles = append([]string{name}, text.Titles...)
		}
	}
	return text
}

// oneLine makes text fit for one line of at most limit bytes: valid UTF-8, no
// line breaks, control characters or changes of writing direction, cut at a rune.
func oneLine(text string, limit int) string {
	var b strings.Builder
	for _, r := range text {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			r = ' '
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// Redact makes a vendor's text safe to store and show: secrets masked, valid
// UTF-8 without control characters, at most limit bytes.
func Redact(s string, limit int, secrets []string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		for _, form := range []string{secret, strings.ReplaceAll(secret, "/", `\/`)} {
			s = strings.ReplaceAll(s, form, Mask)
		}
	}
	s = strings.ToValidUTF8(s, " ") // a secret of half a rune leaves the other half
	for _, secret := range secrets {
		if secret != "" && strings.Contains(s, secret) {
			return "" // a secret so short that it is part of the mask, or grew together around one
		}
	}
	return cut(s, limit)
}

// cut shortens s to at most limit bytes at a rune.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// DescribeFailure says in a few words why no answer came. It does not quote
// network errors, since they contain addresses.
func DescribeFailure(err error) string {
	var (
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		timeout interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &dns):
		return "the host's name was not resolved"
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid), errors.As(err, &verify):
		return "the server's certificate is not trusted"
	case errors.As(err, &record):
		return "the server does not speak TLS"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "the host cannot be reached"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	}
	return "connection failed"
}
