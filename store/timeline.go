package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// Entry is one thing that happened to a call. Exactly one of its parts is set.
type Entry struct {
	At       time.Time
	LegID    uuid.UUID // zero where it concerns the whole call
	DeviceID string
	Decision *call.Decision
	Attempt  *Attempt
	Notice   *NoticeEntry
	Confirm  *ConfirmEntry
	Report   *ReportEntry
	Receipt  *ReceiptEntry
	Event    *call.Event
	Leg      *call.Leg  // as it was after the event leg.updated
	Call     *call.Call // as the event's step left it; with its legs for events of the whole call
}

// NoticeEntry is a notice that was given up: it never reached the vendor, or the
// vendor refused it.
type NoticeEntry struct {
	Purpose call.Purpose
	Channel call.Channel
	Reason  call.Reason
}

// ReceiptEntry is what a vendor told of a push that it had accepted.
type ReceiptEntry struct {
	Receipt              // without its token
	Purpose call.Purpose // of the attempt
	Number  int          // of the attempt
	Channel call.Channel // of the attempt
}

// ConfirmEntry is a confirm with its answer and, where the region was checked,
// the evidence.
type ConfirmEntry struct {
	call.Confirmation
	call.Answer
	Gate *Gate
}

// ReportEntry is a report with its verdict and, where the region was checked,
// the evidence.
type ReportEntry struct {
	call.Report
	Refused string // the verdict's code; "" where it was accepted
	Gate    *Gate
}

// Timeline reads all that happened to a call, in order: each device's decision,
// each attempt and its answer, each receipt, each notice that was given up, each confirm, report and step.
//
// Errors: ErrNotFound, ErrUnavailable.
func (s *Store) Timeline(ctx context.Context, appID string, id uuid.UUID) (call.Call, []Entry, error) {
	c, err := s.Call(ctx, appID, id)
	if err != nil {
		return c, nil, err
	}
	t := &timeline{call: &c}
	b := &pgx.Batch{}
	b.Queue(`SELECT decisions FROM plans WHERE app_id = $1 AND call_id = $2`, c.AppID, id).Query(t.plan)
	// Earlier versions kept the decisions in a row of their own, or each with its leg.
	b.Queue(`SELECT id, decision FROM legs WHERE app_id = $1 AND call_id = $2 AND decision IS NOT NULL`, c.AppID, id).Query(t.decisions)
	b.Queue(`SELECT leg_id, id, number, channel, started_at, finished_at, outcome, blame, coalesce(reason, ''), coalesce(status, 0),
			coalesce(code, ''), coalesce(message, ''), coalesce(request_id, ''), purpose
		FROM attempts WHERE app_id = $1 AND call_id = $2 ORDER BY id`, c.AppID, id).Query(t.attempts)
	b.Queue(`SELECT leg_id, done_at, purpose, channel, reason
		FROM notices WHERE app_id = $1 AND call_id = $2 AND reason IS NOT NULL ORDER BY done_at`, c.AppID, id).Query(t.notices)
	b.Queue(`SELECT r.leg_id, r.received_at, r.attempt_id, r.result, r.signed, r.action, r.told_at, coalesce(r.request_id, ''), a.purpose, a.number, a.channel
		FROM receipts r JOIN attempts a ON a.app_id = r.app_id AND a.call_id = r.call_id AND a.id = r.attempt_id AND a.call_id = $2
		WHERE r.app_id = $1 AND r.call_id = $2 ORDER BY r.attempt_id, r.told_at`, c.AppID, id).Query(t.receipts)
	b.Queue(`SELECT leg_id, at, source, coalesce(vendor_call_id, ''), verdict, coalesce(reason, ''), region
		FROM confirms WHERE app_id = $1 AND call_id = $2 ORDER BY id`, c.AppID, id).Query(t.confirms)
	b.Queue(`SELECT leg_id, seq, received_at, body, coalesce(refused, ''), region
		FROM reports WHERE app_id = $1 AND call_id = $2 ORDER BY seq`, c.AppID, id).Query(t.reports)
	b.Queue(`SELECT type, call_seq, at, leg_id, data FROM events WHERE app_id = $1 AND call_id = $2 AND id >= $3 ORDER BY call_seq`,
		c.AppID, id, floorID(c.CreatedAt)).Query(t.events)
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return c, nil, translate(err)
	}
	for i := range c.Legs {
		t.add(c.CreatedAt, c.Legs[i].ID, Entry{Decision: &c.Legs[i].Decision})
	}
	slices.SortStableFunc(t.entries, func(a, b Entry) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.rank(), b.rank())) })
	return c, t.entries, nil
}

// rank orders entries with the same time: a cause comes before its step.
func (e *Entry) rank() int {
	switch {
	case e.Event != nil && e.Event.Type == call.EventCallCreated:
		return 0
	case e.Decision != nil:
		return 1
	case e.Event == nil:
		return 2
	}
	return 3
}

type timeline struct {
	call    *call.Call
	entries []Entry
}

func (t *timeline) add(at time.Time, leg uuid.UUID, e Entry) {
	e.At, e.LegID = at.UTC(), leg
	if l := t.call.Leg(leg); l != nil {
		e.DeviceID = l.DeviceID
	}
	t.entries = append(t.entries, e)
}

func (t *timeline) plan(rows pgx.Rows) error {
	var data []byte
	_, err := pgx.ForEachRow(rows, []any{&data}, func() error { return readLongPlan(data, t.call) })
	return err
}

func (t *timeline) decisions(rows pgx.Rows) error {
	var leg uuid.UUID
	var data []byte
	_, err := pgx.ForEachRow(rows, []any{&leg, &data}, func() error {
		var r longDecision
		if err := json.Unmarshal(data, &r); err != nil {
			return fmt.Errorf("decision of leg %s: %w", leg, err)
		}
		if l := t.call.Leg(leg); l != nil {
			r.decisionRecord().onto(l, t.call.RulesVersion)
		}
		return nil
	})
	return err
}

func (t *timeline) attempts(rows pgx.Rows) error {
	var leg uuid.UUID
	var a Attempt
	_, err := pgx.ForEachRow(rows, []any{&leg, &a.ID, &a.Number, &a.Channel, &a.StartedAt, &a.FinishedAt, &a.Outcome, &a.Blame, &a.Reason, &a.Status,
		&a.Code, &a.Message, &a.RequestID, &a.Purpose}, func() error {
		attempt := a
		attempt.StartedAt, attempt.FinishedAt = a.StartedAt.UTC(), a.FinishedAt.UTC()
		t.add(a.FinishedAt, leg, Entry{Attempt: &attempt})
		return nil
	})
	return err
}

func (t *timeline) notices(rows pgx.Rows) error {
	var leg uuid.UUID
	var at time.Time
	var n NoticeEntry
	_, err := pgx.ForEachRow(rows, []any{&leg, &at, &n.Purpose, &n.Channel, &n.Reason}, func() error {
		notice := n
		t.add(at, leg, Entry{Notice: &notice})
		return nil
	})
	return err
}

func (t *timeline) receipts(rows pgx.Rows) error {
	var leg uuid.UUID
	var at time.Time
	var r ReceiptEntry
	_, err := pgx.ForEachRow(rows, []any{&leg, &at, &r.Attempt, &r.Result, &r.Signed, &r.Action, when{&r.ToldAt}, &r.RequestID, &r.Purpose, &r.Number, &r.Channel}, func() error {
		receipt := r
		t.add(at, leg, Entry{Receipt: &receipt})
		return nil
	})
	return err
}

func (t *timeline) confirms(rows pgx.Rows) error {
	var leg uuid.UUID
	var at time.Time
	var c ConfirmEntry
	var region []byte
	_, err := pgx.ForEachRow(rows, []any{&leg, &at, &c.Source, &c.VendorCallID, &c.Verdict, &c.Reason, &region}, func() error {
		confirm := c
		var err error
		confirm.Gate, err = readGate(region)
		t.add(at, leg, Entry{Confirm: &confirm})
		return err
	})
	return err
}

func (t *timeline) reports(rows pgx.Rows) error {
	var leg uuid.UUID
	var seq int64
	var at time.Time
	var body, refused string
	var region []byte
	_, err := pgx.ForEachRow(rows, []any{&leg, &seq, &at, &body, &refused, &region}, func() error {
		var r reportRecord
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			return fmt.Errorf("a report: %w", err)
		}
		gate, err := readGate(region)
		t.add(at, leg, Entry{Report: &ReportEntry{Report: r.report(seq), Refused: refused, Gate: gate}})
		return err
	})
	return err
}

// events makes the steps of the call once more, one after the other: each event
// holds only what its step changed.
func (t *timeline) events(rows pgx.Rows) error {
	var events []call.Event
	var records []eventRecord
	var e call.Event
	var leg *uuid.UUID
	var data []byte
	_, err := pgx.ForEachRow(rows, []any{&e.Type, &e.Seq, &e.Time, &leg, &data}, func() error {
		event := e
		event.Leg, event.Time = uuid.Nil, e.Time.UTC()
		if leg != nil {
			event.Leg = *leg
		}
		r, err := readEvent(data, event)
		if err != nil {
			return fmt.Errorf("event %d: %w", e.Seq, err)
		}
		for i, d := range r.Plan {
			if l := t.call.Leg(r.leg(i)); l != nil {
				d.onto(l, t.call.RulesVersion)
			}
		}
		events, records = append(events, event), append(records, r)
		return nil
	})
	then := *t.call
	then.Legs = slices.Clone(then.Legs)
	made := 0
	for i, event := range events {
		for ; made < len(records) && records[made].Seq <= records[i].Seq; made++ { // all of its step
			records[made].onto(&then)
		}
		was := then
		entry := Entry{Event: &event, Call: &was}
		if l := then.Leg(event.Leg); l != nil {
			leg := *l
			entry.Leg, was.Legs = &leg, nil
		} else {
			was.Legs = slices.Clone(then.Legs)
		}
		t.add(event.Time, event.Leg, entry)
	}
	return err
}
