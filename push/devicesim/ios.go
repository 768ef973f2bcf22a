package devicesim

import (
	"context"
	"encoding/json"
)

// ios is an iPhone of the APNs simulator. CallKit and LiveCommunicationKit have
// no simulator: they show what they are told, and the call's UUID is the app's.
type ios struct {
	d     *Device
	after int64 // cursor of the deliveries
}

// reportsFirst is PushKit's rule: an app that does not report a VoIP push as a
// call at once is ended (Apple, PKPushType.voIP).
func (p *ios) reportsFirst() bool { return true }

func (p *ios) pushes(ctx context.Context) ([]arrival, error) {
	var page struct {
		Deliveries []struct {
			PushType string `json:"push_type"`
			Payload  json.RawMessage
		}
		After int64
	}
	var tokens []string
	for _, token := range []string{p.d.cfg.APNsVoIPToken, p.d.cfg.APNsAlertToken} {
		if token != "" {
			tokens = append(tokens, token)
		}
	}
	if err := p.d.deliveries(ctx, p.d.cfg.APNsURL, tokens, p.after, &page); err != nil {
		return nil, err
	}
	p.after = max(p.after, page.After)
	var found []arrival
	for _, m := range page.Deliveries {
		var push struct{ Wake json.RawMessage }
		var notice struct{ Purpose string }
		a := arrival{alert: m.PushType == "alert"}
		if json.Unmarshal(m.Payload, &push) == nil {
			a.wake = push.Wake
		}
		if json.Unmarshal(a.wake, &notice) == nil && notice.Purpose != "" {
			continue // the system shows it, and there is no call to take
		}
		found = append(found, a)
	}
	return found, nil
}

func (p *ios) show(context.Context, *wake) (kitAnswer, error)        { return kitAnswer{}, nil }
func (p *ios) state(context.Context, *wake, int) (kitAnswer, error)  { return kitAnswer{}, nil }
func (p *ios) refuse(context.Context, *wake, int) (kitAnswer, error) { return kitAnswer{}, nil }
