package pushkitsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pushwake/relay/push/simcontrol"
)

// Control routes of the parties: projects, tokens and phones.

// projectView is a project on the control side; keys are told by their ids.
type projectView struct {
	ProjectID string   `json:"project_id"`
	KeyIDs    []string `json:"key_ids"`
	Enabled   bool     `json:"enabled"`
	Penalty   bool     `json:"penalty"`
	Rights    []int    `json:"rights"` // null: all
	QPS       int      `json:"qps"`
	Package   string   `json:"package"`
	ClientID  string   `json:"client_id"`
}

// putProject sets what the body names and keeps the rest; a new project is
// enabled and has every right.
func (s *Sim) putProject(r *http.Request) (any, error) {
	var in struct {
		SubAccount string          `json:"sub_account"`
		KeyID      string          `json:"key_id"`
		PublicKey  string          `json:"public_key"`
		Enabled    *bool           `json:"enabled"`
		Penalty    *bool           `json:"penalty"`
		Rights     json.RawMessage `json:"rights"`
		QPS        *int            `json:"qps"`
		Package    *string         `json:"package"`
		ClientID   *string         `json:"client_id"`
	}
	if err := simcontrol.Decode(r, &in); err != nil {
		return nil, err
	}
	err := s.editProject(simcontrol.PathParam(r, "project"), func(p *project) error {
		if in.Enabled != nil {
			p.disabled = !*in.Enabled
		}
		if in.Penalty != nil {
			p.penalty = *in.Penalty
		}
		if in.QPS != nil {
			p.qps = *in.QPS
		}
		if in.Package != nil {
			p.pkg = *in.Package
		}
		if in.ClientID != nil {
			p.client = *in.ClientID
		}
		if in.Rights != nil {
			p.rights = nil
			if err := json.Unmarshal(in.Rights, &p.rights); err != nil {
				return fmt.Errorf("rights: %w", simcontrol.PlainError(err))
			}
		}
		return p.addKey(in.SubAccount, in.KeyID, in.PublicKey)
	})
	if err != nil {
		return nil, err
	}
	return s.getProject(r)
}

func (s *Sim) getProject(r *http.Request) (any, error) {
	p := s.projects.get(simcontrol.PathParam(r, "project"))
	if p == nil {
		return nil, &simcontrol.Error{Status: http.StatusNotFound, Text: "no such project"}
	}
	v := projectView{ProjectID: p.id, KeyIDs: []string{}, Enabled: !p.disabled, Penalty: p.penalty, Rights: p.rights, QPS: p.qps, Package: p.pkg, ClientID: p.client}
	for id := range p.keys {
		v.KeyIDs = append(v.KeyIDs, id)
	}
	slices.Sort(v.KeyIDs)
	return v, nil
}

func (s *Sim) deleteProject(r *http.Request) (any, error) {
	s.RemoveProject(simcontrol.PathParam(r, "project"))
	return nil, nil
}

// postServiceAccount answers the key file itself, ready to be saved.
func (s *Sim) postServiceAccount(r *http.Request) (any, error) {
	file, err := s.NewServiceAccount(simcontrol.PathParam(r, "project"))
	return json.RawMessage(file), err
}

// tokenView is a token on the control side.
type tokenView struct {
	Text string `json:"token"`
	Token
	Cached int `json:"cached"` // offline messages that wait
}

func (s *Sim) putToken(r *http.Request) (any, error) {
	token, err := tokenParam(r)
	if err != nil {
		return nil, err
	}
	var t Token
	if err := simcontrol.Decode(r, &t); err != nil {
		return nil, err
	}
	if err := s.SetToken(token, t); err != nil {
		return nil, err
	}
	return s.getToken(r)
}

func (s *Sim) getToken(r *http.Request) (any, error) {
	token, err := tokenParam(r)
	if err != nil {
		return nil, err
	}
	s.settleDue()
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	v := tokenView{Text: token, Token: Token{State: Alive}}
	if t := s.fleet.tokens[token]; t != nil {
		now := s.now()
		t.cache = slices.DeleteFunc(t.cache, func(p *push) bool { return !now.Before(p.expires) })
		v.Token, v.Cached = t.Token, len(t.cache)
	}
	return v, nil
}

func (s *Sim) deleteToken(r *http.Request) (any, error) {
	token, err := tokenParam(r)
	if err != nil {
		return nil, err
	}
	s.ForgetToken(token)
	return nil, nil
}

// onDeviceOf runs fn on the phone that the path names.
func (s *Sim) onDeviceOf(r *http.Request, fn func(token string, d *device, now time.Time) any) (v any, err error) {
	token, err := tokenParam(r)
	if err != nil {
		return nil, err
	}
	s.onDevice(token, func(d *device, now time.Time) { v = fn(token, d, now) })
	return v, nil
}

func (s *Sim) getDevice(r *http.Request) (any, error) {
	return s.onDeviceOf(r, func(token string, d *device, now time.Time) any { return d.show(token, now) })
}

// report reads what an app reports and answers as Call Service Kit does, always
// under HTTP 200. Other attributes of the call may come along. Parameters of a
// wrong type reject with 401.
func (s *Sim) report(r *http.Request, answer func(d *device, now time.Time, in reportBody) CallReport) (any, error) {
	body, err := simcontrol.Body(r)
	if err != nil {
		return nil, err
	}
	if !json.Valid(body) {
		return nil, fmt.Errorf("the body is not JSON")
	}
	var in reportBody
	wrong := json.Unmarshal(body, &in)
	return s.onDeviceOf(r, func(_ string, d *device, now time.Time) any {
		if wrong != nil {
			return businessError(errorParameter, "a parameter has a wrong type")
		}
		return answer(d, now, in)
	})
}

type reportBody struct {
	CallID        *string `json:"callId"`
	VoipCallState *int    `json:"voipCallState"`
	State         *int    `json:"state"`
	Cause         *int    `json:"cause"`
}

func (s *Sim) postIncomingCall(r *http.Request) (any, error) {
	return s.report(r, func(d *device, now time.Time, in reportBody) CallReport {
		return d.reportIncomingCall(now, in.CallID, in.VoipCallState)
	})
}

func (s *Sim) postCallState(r *http.Request) (any, error) {
	return s.report(r, func(d *device, _ time.Time, in reportBody) CallReport {
		return d.reportState(in.CallID, in.State)
	})
}

func (s *Sim) postIncomingCallError(r *http.Request) (any, error) {
	return s.report(r, func(d *device, now time.Time, in reportBody) CallReport {
		return d.reportError(now, in.CallID, in.Cause)
	})
}

func (s *Sim) putCarrierCall(r *http.Request) (any, error) {
	var in struct {
		Active *bool `json:"active"`
	}
	if err := simcontrol.Decode(r, &in); err != nil {
		return nil, err
	}
	if in.Active == nil {
		return nil, fmt.Errorf("active is missing")
	}
	return s.onDeviceOf(r, func(token string, d *device, now time.Time) any {
		d.carrier = *in.Active
		return d.show(token, now)
	})
}

// postClick is the user who opens a notification: it is gone from the phone, and
// no revoke finds it.
func (s *Sim) postClick(r *http.Request) (any, error) {
	var in struct {
		NotifyID *int64 `json:"notifyId"`
	}
	if err := simcontrol.Decode(r, &in); err != nil {
		return nil, err
	}
	if in.NotifyID == nil {
		return nil, fmt.Errorf("notifyId is missing")
	}
	return s.onDeviceOf(r, func(token string, d *device, now time.Time) any {
		if !d.dismiss(*in.NotifyID) {
			return nil
		}
		return d.show(token, now)
	})
}
