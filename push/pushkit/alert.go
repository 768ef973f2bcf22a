package pushkit

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// Push Kit REST v3, payload.notification.
const (
	categoryVoIP  = "VOIP" // a call invitation: lock screen, ring and vibration; does not start the process
	actionAppHome = 0      // a tap opens the app's home page, which gets the data

	maxTitle = 128 // bytes of a caller's name shown as title; the documents name no limit
)

type alertPayload struct {
	Notification notification `json:"notification"`
}

type notification struct {
	Category     string      `json:"category"`
	Title        string      `json:"title"`
	Body         string      `json:"body"`
	ClickAction  clickAction `json:"clickAction"`
	NotifyID     int32       `json:"notifyId"`
	AppMessageID string      `json:"appMessageId"` // the vendor shows the same id once in 24 h
}

type clickAction struct {
	ActionType int             `json:"actionType"`
	Data       json.RawMessage `json:"data"` // the wake, for the page that the tap opens
}

func alertBody(m push.Message) (body, error) {
	texts := alertTexts(m.Locale)
	b := body{Options: options{TTL: seconds(m.RingLeft, maxTTL), BiTag: m.Attempt.String()}}
	n := notification{
		Category:     categoryVoIP,
		Title:        texts.title,
		Body:         texts.voice,
		ClickAction:  clickAction{ActionType: actionAppHome},
		NotifyID:     notifyID(m.Payload.Call),
		AppMessageID: m.Payload.Call.String(),
	}
	if m.Payload.Media == call.Video {
		n.Body = texts.video
	}
	titles := []string{texts.title}
	if c := m.Payload.Caller; c != nil {
		if name := oneLine(c.Name, maxTitle); name != "" {
			titles = []string{name, texts.title} // the name gives way before an id does
		}
	}
	var err error
	for _, n.Title = range titles {
		var wake []byte
		wake, err = m.Payload.Encode(func(candidate []byte) bool {
			n.ClickAction.Data = candidate
			b.Payload = alertPayload{n}
			return fits(b)
		})
		if err == nil {
			n.ClickAction.Data = wake
			b.Payload = alertPayload{n}
			return b, nil
		}
		if !errors.Is(err, call.ErrPayloadTooLarge) {
			break
		}
	}
	return body{}, err
}

// wording is what an alert says.
type wording struct {
	title        string // where the caller has no name, or it may not travel
	voice, video string
}

var (
	english = wording{title: "Incoming call", voice: "Incoming voice call", video: "Incoming video call"}
	chinese = wording{title: "来电", voice: "语音来电", video: "视频来电"}
)

// alertTexts goes by the language of a BCP 47 tag: Chinese, else English.
func alertTexts(locale string) wording {
	language, _, _ := strings.Cut(strings.ReplaceAll(locale, "_", "-"), "-")
	if strings.EqualFold(language, "zh") {
		return chinese
	}
	return english
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
