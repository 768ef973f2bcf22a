package pushkitsim

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// showOnce is for how long an appMessageId is not shown a second time (Push Kit
// REST v3, Notification).
const showOnce = 24 * time.Hour

// Notification is one that a phone shows.
type Notification struct {
	NotifyID     int64  `json:"notify_id"` // below 0: the message had none
	Category     string `json:"category"`
	Title        string `json:"title"`
	Body         string `json:"body"`
	AppMessageID string `json:"app_message_id,omitempty"`
	AtMS         int64  `json:"at_ms"`
	RequestID    string `json:"request_id"`
}

// shade is the notifications of a phone.
type shade struct {
	alerts   ring[*alert]      // all that arrived and whose delivery is kept, oldest first
	shown    map[int64]*alert  // by notifyId
	messages map[string]*alert // that was shown last, by appMessageId
}

type alert struct {
	Notification
	n  int64 // of its delivery
	at time.Time
}

func newShade() shade { return shade{shown: map[int64]*alert{}, messages: map[string]*alert{}} }

// wireAlert is what of a notification the phone goes by.
type wireAlert struct {
	NotifyID     *int64 `json:"notifyId"`
	Category     string `json:"category"`
	Title        string `json:"title"`
	Body         string `json:"body"`
	AppMessageID string `json:"appMessageId"`
}

func readAlert(content string) (w wireAlert) {
	_ = json.Unmarshal([]byte(content), &w) // it was checked when it was sent
	return w
}

// arrive shows a notification in the place of the one with its notifyId, unless
// its appMessageId was shown already.
func (s *shade) arrive(d *Delivery, now time.Time) {
	w := readAlert(d.Data)
	a := &alert{n: d.N, at: now, Notification: Notification{
		NotifyID: -d.N, Category: w.Category, Title: w.Title, Body: w.Body, AppMessageID: w.AppMessageID, AtMS: d.AtMS, RequestID: d.RequestID,
	}}
	if w.NotifyID != nil && *w.NotifyID >= 0 {
		a.NotifyID = *w.NotifyID
	}
	s.alerts.add(a)
	if before := s.messages[a.AppMessageID]; before != nil && now.Sub(before.at) < showOnce {
		return
	}
	s.shown[a.NotifyID] = a
	if a.AppMessageID != "" {
		s.messages[a.AppMessageID] = a
	}
}

// forget drops the oldest, whose delivery is no longer kept.
func (s *shade) forget() {
	a := s.alerts.pop()
	if s.shown[a.NotifyID] == a {
		delete(s.shown, a.NotifyID)
	}
	if s.messages[a.AppMessageID] == a {
		delete(s.messages, a.AppMessageID)
	}
}

func (s *shade) show() []Notification {
	shown := make([]*alert, 0, len(s.shown))
	for _, a := range s.shown {
		shown = append(shown, a)
	}
	slices.SortFunc(shown, func(a, b *alert) int { return cmp.Compare(a.n, b.n) })
	out := make([]Notification, len(shown))
	for i, a := range shown {
		out[i] = a.Notification
	}
	return out
}

// dismiss takes a notification off the phone; it reports whether it was there.
func (d *device) dismiss(notifyID int64) bool {
	_, there := d.shade.shown[notifyID]
	delete(d.shade.shown, notifyID)
	return there
}
