package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// planJSON is the result that an invitation would have now.
type planJSON struct {
	Status    call.Status     `json:"status"`
	EndReason *call.EndReason `json:"end_reason"`
	Reachable int             `json:"reachable"`
	ExpiresAt moment          `json:"expires_at"`
	Legs      []plannedJSON   `json:"legs"`

	MoreSkipped int `json:"more_skipped,omitzero"`
}

// plannedJSON is the result for one device: a wake, or a reason why not.
type plannedJSON struct {
	DeviceID     string             `json:"device_id"`
	Platform     call.Platform      `json:"platform"`
	DeviceType   call.DeviceType    `json:"device_type"`
	Channel      *call.Channel      `json:"channel"`
	Presentation *call.Presentation `json:"presentation"`
	Reason       *call.Reason       `json:"reason"`
	Text         string             `json:"text"`
	Advice       *string            `json:"advice"`
	Decision     *decisionJSON      `json:"decision"`
	Request      *requestJSON       `json:"request"` // to the vendor
	Problem      *string            `json:"problem"` // why there is no request although the device may ring
}

// requestJSON is a request to a vendor, its tokens and keys masked.
type requestJSON struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"` // names in lower case
	Body    json.RawMessage   `json:"body"`
}

// planCall is POST /v1/calls?dry_run=true: the result that the invitation would
// have. Nothing is stored and nothing is sent.
func (s *server) planCall(w http.ResponseWriter, r *http.Request, in store.Invite) error {
	c, wakes, err := s.Store.PlanCall(r.Context(), in)
	if err != nil {
		return err
	}
	byLeg := make(map[uuid.UUID]store.Wake, len(wakes))
	for _, wake := range wakes {
		byLeg[wake.LegID] = wake
	}
	out := planJSON{
		Status: c.Status, EndReason: orNull(c.EndReason), Reachable: c.Reachable(), ExpiresAt: moment(c.ExpiresAt), Legs: make([]plannedJSON, len(c.Legs)),
		MoreSkipped: c.MoreSkipped,
	}
	problems := make([]call.Text, len(c.Legs))
	for i, leg := range c.Legs {
		if wake, ok := byLeg[leg.ID]; ok {
			if out.Legs[i].Request, problems[i], err = s.preview(r, wake); err != nil {
				return err
			}
		}
	}
	l := speak(w, r)
	for i, leg := range c.Legs {
		told := tellDecision(leg.DeviceID, &leg.Decision, foreseen)
		out.Legs[i] = plannedJSON{
			DeviceID: leg.DeviceID, Platform: leg.Platform, DeviceType: leg.DeviceType, Channel: orNull(leg.Channel), Presentation: orNull(leg.Presentation),
			Reason: orNull(leg.Reason), Text: told.Meaning.In(l), Advice: orNull(told.Advice.In(l)), Decision: renderDecision(leg.Decision),
			Request: out.Legs[i].Request, Problem: orNull(problems[i].In(l)),
		}
	}
	return write(w, http.StatusOK, out)
}

var (
	noCredential  = call.Say("The app has no credential for the channel.", "该应用没有此通道的凭据。")
	badCredential = call.Say("The app's credential for the channel cannot be used; `relay doctor` says why.", "该应用在此通道的凭据无法使用，请运行 `relay doctor` 查看原因。")
)

// preview is the request of a wake, or why there would be none.
func (s *server) preview(r *http.Request, wake store.Wake) (request *requestJSON, problem call.Text, err error) {
	p, err := s.Vendors.Preview(r.Context(), wake)
	var unbuilt *UnbuiltError
	switch {
	case err == nil:
	case errors.Is(err, store.ErrUnavailable), r.Context().Err() != nil:
		return nil, problem, err
	case errors.Is(err, store.ErrNotFound):
		return nil, noCredential, nil
	case errors.As(err, &unbuilt):
		return nil, call.Say("It would not be sent: %s.", "不会发送：%s。").With(unbuilt.Err), nil
	default:
		s.Logger.Warn("a credential cannot be used", "app_id", wake.AppID, "channel", wake.Channel, "error", err)
		return nil, badCredential, nil
	}
	out := &requestJSON{Method: p.Method, URL: p.URL, Headers: map[string]string{}, Body: p.Body}
	for name, values := range p.Header {
		out.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return out, problem, nil
}

// reachabilityJSON is who of a user's devices would ring now.
type reachabilityJSON struct {
	UserID    string          `json:"user_id"`
	Reachable int             `json:"reachable"`
	EndReason *call.EndReason `json:"end_reason"` // how a call would end at once; null where a device would ring
	Devices   []deviceJSON    `json:"devices"`

	MoreSkipped int `json:"more_skipped,omitzero"`
}

// getReachability is GET /v1/users/{user_id}/reachability: what would ring now,
// and why not.
func (s *server) getReachability(w http.ResponseWriter, r *http.Request, p Backend) error {
	user, err := pathText(r, "user_id")
	if err != nil {
		return err
	}
	if err := queryOf(r).done(); err != nil {
		return err
	}
	devices, more, err := s.Store.Reachability(r.Context(), p.AppID, user)
	if err != nil {
		return err
	}
	out := reachabilityJSON{UserID: user, Devices: renderDevices(devices, speak(w, r)), MoreSkipped: more}
	plan := make([]call.Decision, len(devices))
	for i, d := range devices {
		plan[i] = d.Decision
	}
	var c call.Call // the rules decide how a call without a device that can ring ends
	c.Invite(plan, call.DefaultRing, s.Store.Now(), uuid.New)
	out.Reachable, out.EndReason = c.Reachable(), orNull(c.EndReason)
	return write(w, http.StatusOK, out)
}
