package pushkit

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// Push Kit REST v3, payload.notification.
const (
	categoryVoIP   = "VOIP"      // a call invitation: lock screen, ring and vibration; does not start the process
	categoryMissed = "MISS_CALL" // a missed call: the same
	actionAppHome  = 0           // a tap opens the app's home page, which gets the data
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
	AppMessageID string      `json:"appMessageId"` // the system shows the same id once in 24 h
}

type clickAction struct {
	ActionType int             `json:"actionType"`
	Data       json.RawMessage `json:"data"` // the wake, for the page that the tap opens
}

func alertBody(m push.Message) (body, error) {
	text := push.AlertTextOf(m)
	b := body{Options: options{TTL: seconds(m.RingLeft, maxTTL), BiTag: m.Attempt.String()}}
	n := notification{
		Category:     categoryVoIP,
		Body:         text.Body,
		ClickAction:  clickAction{ActionType: actionAppHome},
		NotifyID:     notifyID(m.Payload.Call),
		AppMessageID: m.Payload.Call.String(),
	}
	if m.Purpose == call.PurposeMissedCall {
		b.Options.TTL = int(call.NoticeLife / time.Second)
		n.Category, n.AppMessageID = categoryMissed, "missed-"+n.AppMessageID // its notifyId has it take the place of the call's own
	}
	var err error
	for _, n.Title = range text.Titles {
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
