package api

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// entryType says which part of an entry is set.
type entryType string

const (
	entryDecision entryType = "decision"
	entryAttempt  entryType = "attempt"
	entryNotice   entryType = "notice"
	entryConfirm  entryType = "confirm"
	entryReport   entryType = "report"
	entryReceipt  entryType = "receipt"
	entryEvent    entryType = "event"
)

// entryTypes lists every entry type.
var entryTypes = []entryType{entryDecision, entryAttempt, entryNotice, entryConfirm, entryReport, entryReceipt, entryEvent}

// entryJSON is one thing that happened to a call.
type entryJSON struct {
	At       moment        `json:"at"`
	Type     entryType     `json:"type"`
	LegID    *uuid.UUID    `json:"leg_id"`
	DeviceID *string       `json:"device_id"`
	Decision *decisionJSON `json:"decision,omitempty"`
	Attempt  *attemptJSON  `json:"attempt,omitempty"`
	Notice   *noticeJSON   `json:"notice,omitempty"`
	Confirm  *confirmJSON  `json:"confirm,omitempty"`
	Report   *reportJSON   `json:"report,omitempty"`
	Receipt  *receiptJSON  `json:"receipt,omitempty"`
	Event    *eventJSON    `json:"event,omitempty"`
	Text     string        `json:"text"`   // what happened, in plain words
	Advice   *string       `json:"advice"` // what to do about it
}

// legWordsJSON says how one device's leg ended, for readers of nothing else.
type legWordsJSON struct {
	DeviceID string  `json:"device_id"`
	Text     string  `json:"text"`
	Advice   *string `json:"advice"`
}

type decisionJSON struct {
	Channel       *call.Channel                `json:"channel"`
	Presentation  *call.Presentation           `json:"presentation"`
	Reason        *call.Reason                 `json:"reason"`
	Rules         string                       `json:"rules"`
	Region        regionJSON                   `json:"region"`
	SystemVersion string                       `json:"system_version"`
	Emulator      bool                         `json:"emulator"`
	CallUI        call.Presentation            `json:"call_ui"`
	Environment   *string                      `json:"environment"`
	BundleID      *string                      `json:"bundle_id"`
	Tokens        map[call.TokenName]tokenJSON `json:"tokens"`
	Connected     bool                         `json:"connected"`
	AliveIncoming int                          `json:"alive_incoming"`
	AliveOutgoing int                          `json:"alive_outgoing"`
}

type attemptJSON struct {
	ID         uuid.UUID    `json:"id"`
	Purpose    call.Purpose `json:"purpose"`
	Number     int          `json:"number"`
	Channel    call.Channel `json:"channel"`
	StartedAt  moment       `json:"started_at"`
	DurationMS int64        `json:"duration_ms"`
	Outcome    string       `json:"outcome"`
	Blame      string       `json:"blame"`
	Reason     *call.Reason `json:"reason"`
	Status     *int         `json:"status"`
	Code       *string      `json:"code"`
	Message    *string      `json:"message"`
	RequestID  *string      `json:"request_id"`
}

type noticeJSON struct {
	Purpose call.Purpose `json:"purpose"`
	Channel call.Channel `json:"channel"`
	Reason  call.Reason  `json:"reason"`
}

type confirmJSON struct {
	Source       call.Source  `json:"source"`
	VendorCallID *string      `json:"vendor_call_id"`
	Verdict      call.Verdict `json:"verdict"`
	Reason       *string      `json:"reason"`
	Region       *regionJSON  `json:"region"` // the evidence, where the region was checked
	Rules        *string      `json:"rules"`  // by which it judged
}

type reportJSON struct {
	Seq          int64              `json:"seq"`
	Event        call.ReportEvent   `json:"event"`
	At           moment             `json:"at"`
	Media        *call.Media        `json:"media"`
	VendorCallID *string            `json:"vendor_call_id"`
	ErrorReason  *call.ErrorReason  `json:"error_reason"`
	ErrorCode    *int64             `json:"error_code"`
	FailureCause *call.FailureCause `json:"failure_cause"`
	Refused      *string            `json:"refused"`
	Region       *regionJSON        `json:"region"`
	Rules        *string            `json:"rules"`
}

type receiptJSON struct {
	AttemptID uuid.UUID          `json:"attempt_id"`
	Purpose   call.Purpose       `json:"purpose"`
	Result    int64              `json:"result"`
	ToldAt    moment             `json:"told_at"` // the vendor's time
	Signed    bool               `json:"signed"`
	Action    call.ReceiptAction `json:"action"`
	RequestID *string            `json:"request_id"`
}

type eventJSON struct {
	Type      call.EventType  `json:"type"`
	CallSeq   int             `json:"call_seq"`
	Status    call.Status     `json:"status"`
	EndReason *call.EndReason `json:"end_reason"`
	LegStatus *call.LegStatus `json:"leg_status"`
	LegReason *call.Reason    `json:"leg_reason"`
}

// getTimeline is GET /v1/calls/{call_id}/timeline: why a call rang, or did not.
func (s *server) getTimeline(w http.ResponseWriter, r *http.Request, p Backend) error {
	return s.timeline(w, r, p.AppID, renderCall)
}

func (s *server) timeline(w http.ResponseWriter, r *http.Request, appID string, render func(call.Call) callJSON) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := queryOf(r).done(); err != nil {
		return err
	}
	c, entries, err := s.Store.Timeline(r.Context(), appID, id)
	if err != nil {
		return err
	}
	l, n := speak(w, r), newNarrator(s.Vendors, &c, entries)
	out := struct {
		Summary string         `json:"summary"`
		Legs    []legWordsJSON `json:"legs"`
		Call    callJSON       `json:"call"`
		Data    []entryJSON    `json:"data"`
	}{n.summary().In(l), make([]legWordsJSON, len(c.Legs)), render(c), make([]entryJSON, len(entries))}
	for i := range c.Legs {
		told := n.leg(&c.Legs[i])
		out.Legs[i] = legWordsJSON{c.Legs[i].DeviceID, told.Meaning.In(l), orNull(told.Advice.In(l))}
	}
	for i, e := range entries {
		told := n.entry(e)
		out.Data[i] = renderEntry(e)
		out.Data[i].Text, out.Data[i].Advice = told.Meaning.In(l), orNull(told.Advice.In(l))
	}
	return write(w, http.StatusOK, out)
}

func renderEntry(e store.Entry) entryJSON {
	out := entryJSON{At: moment(e.At), DeviceID: orNull(e.DeviceID)}
	if e.LegID != uuid.Nil {
		out.LegID = &e.LegID
	}
	switch {
	case e.Decision != nil:
		out.Type, out.Decision = entryDecision, renderDecision(*e.Decision)
	case e.Attempt != nil:
		out.Type, out.Attempt = entryAttempt, renderAttempt(*e.Attempt)
	case e.Notice != nil:
		out.Type, out.Notice = entryNotice, &noticeJSON{e.Notice.Purpose, e.Notice.Channel, e.Notice.Reason}
	case e.Confirm != nil:
		c := e.Confirm
		out.Type = entryConfirm
		out.Confirm = &confirmJSON{Source: c.Source, VendorCallID: orNull(c.VendorCallID), Verdict: c.Verdict, Reason: orNull(c.Reason)}
		out.Confirm.Region, out.Confirm.Rules = renderGate(c.Gate)
	case e.Report != nil:
		r := e.Report
		out.Type = entryReport
		out.Report = &reportJSON{
			Seq: r.Seq, Event: r.Event, At: moment(r.At), Media: orNull(r.Media), VendorCallID: orNull(r.VendorCallID), ErrorReason: orNull(r.ErrorReason),
			FailureCause: orNull(r.FailureCause), Refused: orNull(r.Refused),
		}
		if r.ErrorCode != 0 {
			out.Report.ErrorCode = &r.ErrorCode
		}
		out.Report.Region, out.Report.Rules = renderGate(r.Gate)
	case e.Receipt != nil:
		r := e.Receipt
		out.Type = entryReceipt
		out.Receipt = &receiptJSON{r.Attempt, r.Purpose, r.Result, moment(r.ToldAt), r.Signed, r.Action, orNull(r.RequestID)}
	default:
		out.Type = entryEvent
		out.Event = &eventJSON{Type: e.Event.Type, CallSeq: e.Event.Seq, Status: e.Call.Status, EndReason: orNull(e.Call.EndReason)}
		if e.Leg != nil {
			out.Event.LegStatus, out.Event.LegReason = &e.Leg.Status, orNull(e.Leg.Reason)
		}
	}
	return out
}

func renderDecision(d call.Decision) *decisionJSON {
	out := &decisionJSON{
		Channel: orNull(d.Channel), Presentation: orNull(d.Presentation), Reason: orNull(d.Reason), Rules: d.RulesVersion, Region: renderRegion(d.Region),
		SystemVersion: d.Device.SystemVersion, Emulator: d.Device.Emulator, CallUI: d.Device.CallUI, Environment: orNull(d.Device.Environment), BundleID: orNull(d.Device.BundleID), Tokens: map[call.TokenName]tokenJSON{},
		Connected: d.Device.Connected, AliveIncoming: d.Device.AliveIncoming, AliveOutgoing: d.Device.AliveOutgoing,
	}
	for name, t := range d.Device.Tokens {
		out.Tokens[name] = tokenJSON{t.State}
	}
	return out
}

// renderGate renders the evidence of a region check; nil where there was none.
func renderGate(g *store.Gate) (*regionJSON, *string) {
	if g == nil {
		return nil, nil
	}
	region := renderRegion(g.Region)
	return &region, orNull(g.RulesVersion)
}

func renderAttempt(a store.Attempt) *attemptJSON {
	out := &attemptJSON{
		ID: a.ID, Purpose: a.Purpose, Number: a.Number, Channel: a.Channel, StartedAt: moment(a.StartedAt), DurationMS: int64(a.FinishedAt.Sub(a.StartedAt) / time.Millisecond),
		Outcome: a.Outcome, Blame: a.Blame, Reason: orNull(a.Reason), Code: orNull(a.Code), Message: orNull(a.Message), RequestID: orNull(a.RequestID),
	}
	if a.Status != 0 {
		out.Status = &a.Status
	}
	return out
}
