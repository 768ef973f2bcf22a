package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// createCall is POST /v1/calls: an invitation.
func (s *server) createCall(w http.ResponseWriter, r *http.Request, p Backend) error {
	q := queryOf(r)
	dry := q.flag("dry_run", false)
	if err := q.done(); err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	in, err := decodeInvite(body)
	if err != nil {
		return err
	}
	in.AppID = p.AppID
	if in.Key, err = idempotencyKey(r); err != nil {
		return err
	}
	if dry {
		return s.planCall(w, r, in)
	}
	in.SentHash = sha256.Sum256(body)
	if in.BodyHash, err = saidBy(body); err != nil {
		return err
	}
	c, err := s.Store.CreateCall(r.Context(), in)
	if err != nil {
		return err
	}
	if wait := preferredWait(r); wait > 0 {
		c = s.afterConfirm(r, c, wait)
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
	w.Header().Set("Location", "/v1/calls/"+c.ID.String())
	return write(w, http.StatusCreated, renderCall(c))
}

// idempotencyKey is the request's key: up to 255 visible ASCII characters.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	bad := len(values) > 1 || key == "" || len(key) > 255
	for _, b := range []byte(key) {
		bad = bad || b < 0x21 || b > 0x7e
	}
	if bad {
		return "", &malformedError{"Idempotency-Key must be given once, with 1 to 255 visible ASCII characters"}
	}
	return key, nil
}

// decodeInvite reads an invitation's body.
func decodeInvite(body []byte) (store.Invite, error) {
	f, err := decode(body)
	if err != nil {
		return store.Invite{}, err
	}
	in := store.Invite{
		Ref:         f.text("ref", 0, call.MaxRefLength),
		Media:       choice(f, "media", call.AllMedia, ""),
		VoiceAnswer: f.flag("voice_answer", true),
		Conference:  f.flag("conference", false),
		Ring: time.Duration(f.number("ring_timeout_seconds", int64(call.MinRing/time.Second), int64(call.MaxRing/time.Second), false,
			int64(call.DefaultRing/time.Second))) * time.Second,
	}
	if callee := f.object("callee", true); callee != nil {
		in.Callee = call.Party{UserID: callee.id("user_id")}
		callee.unknown()
	}
	if caller := f.object("caller", true); caller != nil {
		in.Caller = decodeCaller(caller)
	}
	if raw, ok := f.take("custom"); ok {
		switch {
		case len(raw) > call.MaxCustomBytes:
			f.complain("custom", "must have at most %d bytes as sent", call.MaxCustomBytes)
		case isNull(raw) || len(raw) == 0 || raw[0] != '{':
			f.complain("custom", "must be an object")
		default:
			in.Custom = raw
		}
	}
	return in, f.done()
}

func decodeCaller(f *fields) call.Party {
	p := call.Party{UserID: f.id("user_id"), Name: f.text("name", 0, 256), AvatarURL: f.text("avatar_url", 0, 1024)}
	if p.AvatarURL != "" {
		if u, err := url.Parse(p.AvatarURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			f.complain("avatar_url", "must be an http or https address")
		}
	}
	if e := f.object("enterprise", false); e != nil {
		p.Enterprise = &call.Enterprise{
			Company: e.text("company", 0, 256), Department: e.text("department", 0, 256), Position: e.text("position", 0, 256), EmployeeID: e.text("employee_id", 0, 128),
		}
		e.unknown()
	}
	f.unknown()
	return p
}

// listCalls is GET /v1/calls: the history.
func (s *server) listCalls(w http.ResponseWriter, r *http.Request, p Backend) error {
	f, err := queryOf(r).page(p.AppID)
	if err != nil {
		return err
	}
	return s.history(w, r, f, renderCall)
}

// history writes one page of calls.
func (s *server) history(w http.ResponseWriter, r *http.Request, f store.Filter, render func(call.Call) callJSON) error {
	calls, more, err := s.Store.Calls(r.Context(), f)
	if err != nil {
		return err
	}
	out := listJSON[callJSON]{Data: make([]callJSON, len(calls))}
	for i, c := range calls {
		out.Data[i] = render(c)
	}
	if more {
		out.NextCursor = cursorAfter(calls[len(calls)-1])
	}
	return write(w, http.StatusOK, out)
}

// getCall is GET /v1/calls/{call_id}.
func (s *server) getCall(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := queryOf(r).done(); err != nil {
		return err
	}
	c, err := s.Store.Call(r.Context(), p.AppID, id)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, renderCall(c))
}

// cancelCall is POST /v1/calls/{call_id}/cancel.
func (s *server) cancelCall(w http.ResponseWriter, r *http.Request, p Backend) error {
	return finish(w, r, p, s.Store.CancelCall)
}

// endCall is POST /v1/calls/{call_id}/end.
func (s *server) endCall(w http.ResponseWriter, r *http.Request, p Backend) error {
	return finish(w, r, p, s.Store.EndCall)
}

// finish ends a call by cancel or end, and answers with the call as it ended.
func finish(w http.ResponseWriter, r *http.Request, p Backend, how func(context.Context, string, uuid.UUID) (call.Call, error)) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	c, err := how(r.Context(), p.AppID, id)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, renderCall(c))
}
