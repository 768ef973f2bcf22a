package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// eventRecord is what a step changed: the call's changeable fields as the step
// left them, and legs. There are many events, so the names in it are letters and
// its times are counted from the event's own.
type eventRecord struct {
	callRecord
	Legs []legRecord      `json:"l,omitempty"`
	Plan []decisionRecord `json:"p,omitempty"` // of call.created: what was decided for each of the legs
}

type callRecord struct {
	Status     call.Status    `json:"s,omitempty"` // "" is waking
	EndReason  call.EndReason `json:"e,omitempty"`
	RingingAt  stamp          `json:"r,omitzero"`
	AnsweredAt stamp          `json:"a,omitzero"`
	ActiveAt   stamp          `json:"t,omitzero"`
	EndedAt    stamp          `json:"d,omitzero"`
	AnsweredBy string         `json:"b,omitempty"`
	Seq        int            `json:"n,omitempty"` // less the event's own
}

// legRecord is what steps change of a leg and readers of events are told. In
// leg.updated the id is left out: the event's row has it.
type legRecord struct {
	ID           uuid.UUID      `json:"i,omitzero"`
	Status       call.LegStatus `json:"s,omitempty"` // "" is handed_over
	Reason       call.Reason    `json:"w,omitempty"`
	Media        call.Media     `json:"m,omitempty"`
	HandedOverAt stamp          `json:"h,omitzero"`
	ConfirmedAt  stamp          `json:"c,omitzero"`
	RingingAt    stamp          `json:"r,omitzero"`
	AnsweredAt   stamp          `json:"a,omitzero"`
	NoWakeAt     stamp          `json:"o,omitzero"`
	WakeChannel  channelCode    `json:"v,omitempty"`
	EscalatedAt  stamp          `json:"x,omitzero"`
	RewokenAt    stamp          `json:"y,omitzero"`
	EndedAt      stamp          `json:"d,omitzero"`
}

// channelCode is a channel that is written in short; one without a code is
// written as it is, and both are read.
type channelCode call.Channel

var channelCodes = map[call.Channel]string{call.PushKitVoIP: "pv", call.PushKitAlert: "pa", call.APNsVoIP: "av", call.APNsAlert: "aa", call.Connection: "c"}

func (c channelCode) MarshalText() ([]byte, error) {
	return []byte(cmp.Or(channelCodes[call.Channel(c)], string(c))), nil
}

func (c *channelCode) UnmarshalText(text []byte) error {
	*c = channelCode(text)
	for channel, code := range channelCodes {
		if code == string(text) {
			*c = channelCode(channel)
		}
	}
	return nil
}

// shift adds to all times of a record. Events are stored with times that begin
// at the event's; only so are they short.
func (r *eventRecord) shift(by time.Duration) {
	add := func(times ...*stamp) {
		for _, t := range times {
			if !t.IsZero() {
				t.Time = t.Add(by)
			}
		}
	}
	add(&r.RingingAt, &r.AnsweredAt, &r.ActiveAt, &r.EndedAt)
	for i := range r.Legs {
		l := &r.Legs[i]
		add(&l.HandedOverAt, &l.ConfirmedAt, &l.RingingAt, &l.AnsweredAt, &l.NoWakeAt, &l.EscalatedAt, &l.RewokenAt, &l.EndedAt)
	}
	for i := range r.Plan {
		add(&r.Plan[i].HeardAt)
	}
}

// shorten leaves out the states that most events tell, and lengthen puts them
// back.
func (r *eventRecord) shorten() {
	if r.Status == call.StatusWaking {
		r.Status = ""
	}
	for i := range r.Legs {
		if r.Legs[i].Status == call.LegHandedOver {
			r.Legs[i].Status = ""
		}
	}
}

func (r *eventRecord) lengthen() {
	r.Status = cmp.Or(r.Status, call.StatusWaking)
	for i := range r.Legs {
		r.Legs[i].Status = cmp.Or(r.Legs[i].Status, call.LegHandedOver)
	}
}

// sinceEpoch is a time as Postgres keeps it, in whole microseconds.
func sinceEpoch(t time.Time) time.Duration { return time.Duration(t.UnixMicro()) * time.Microsecond }

// recordEvents is what each event of a call's step holds: leg.updated its leg,
// call.created all legs, the others none. The legs that the step changed are in
// its leg.updated events, and only there.
func recordEvents(c *call.Call, events []call.Event) [][]byte {
	all := make([][]byte, len(events))
	for i, e := range events {
		r := eventRecord{callRecord: callRecord{
			Status: c.Status, EndReason: c.EndReason, RingingAt: stamp{c.RingingAt}, AnsweredAt: stamp{c.AnsweredAt}, ActiveAt: stamp{c.ActiveAt}, EndedAt: stamp{c.EndedAt}, AnsweredBy: c.AnsweredBy,
			Seq: c.Seq - e.Seq,
		}}
		switch e.Type {
		case call.EventLegUpdated:
			leg := recordLeg(c.Leg(e.Leg))
			leg.ID = uuid.Nil
			r.Legs = []legRecord{leg}
		case call.EventCallCreated:
			for i := range c.Legs {
				r.Legs = append(r.Legs, recordLeg(&c.Legs[i]))
			}
			r.Plan = recordPlan(c)
		}
		r.shorten()
		r.shift(-sinceEpoch(e.Time))
		all[i], _ = json.Marshal(r) // texts and times cannot fail
	}
	return all
}

func recordLeg(l *call.Leg) legRecord {
	return legRecord{
		ID: l.ID, Status: l.Status, Reason: l.Reason, Media: l.Media, HandedOverAt: stamp{l.HandedOverAt}, ConfirmedAt: stamp{l.ConfirmedAt}, RingingAt: stamp{l.RingingAt},
		AnsweredAt: stamp{l.AnsweredAt}, NoWakeAt: stamp{l.NoWakeAt}, WakeChannel: channelCode(l.WakeChannel), EscalatedAt: stamp{l.EscalatedAt}, RewokenAt: stamp{l.RewokenAt}, EndedAt: stamp{l.EndedAt},
	}
}

// readEvent decodes what an event of a call holds.
func readEvent(data []byte, e call.Event) (r eventRecord, err error) {
	if bytes.Contains(data, []byte(`"status":`)) { // within a text the quotation marks would be escaped
		r, err = readLongEvent(data)
	} else if err = json.Unmarshal(data, &r); err == nil {
		r.lengthen()
		r.shift(sinceEpoch(e.Time))
		r.Seq += e.Seq
	}
	if err != nil {
		return r, err
	}
	if e.Leg != uuid.Nil { // of leg.updated the first version held every leg
		r.Legs = slices.DeleteFunc(r.Legs, func(l legRecord) bool { return l.ID != uuid.Nil && l.ID != e.Leg })
		for i := range r.Legs {
			r.Legs[i].ID = e.Leg
		}
	}
	return r, nil
}

// readLongEvent decodes what earlier versions wrote: with names in full, times
// as they are, and the call's seq. The first one wrote the whole call; what it
// has in common with this record is read.
func readLongEvent(data []byte) (eventRecord, error) {
	var long struct {
		Status     call.Status    `json:"status"`
		EndReason  call.EndReason `json:"end_reason"`
		RingingAt  stamp          `json:"ringing_at"`
		AnsweredAt stamp          `json:"answered_at"`
		ActiveAt   stamp          `json:"active_at"`
		EndedAt    stamp          `json:"ended_at"`
		AnsweredBy string         `json:"answered_by"`
		Seq        int            `json:"seq"`
		Legs       []struct {
			ID           uuid.UUID      `json:"id"`
			Status       call.LegStatus `json:"status"`
			Reason       call.Reason    `json:"reason"`
			Media        call.Media     `json:"media"`
			HandedOverAt stamp          `json:"handed_over_at"`
			ConfirmedAt  stamp          `json:"confirmed_at"`
			RingingAt    stamp          `json:"ringing_at"`
			AnsweredAt   stamp          `json:"answered_at"`
			NoWakeAt     stamp          `json:"no_wake_at"`
			WakeChannel  channelCode    `json:"wake_channel"`
			EscalatedAt  stamp          `json:"escalated_at"`
			RewokenAt    stamp          `json:"rewoken_at"`
			EndedAt      stamp          `json:"ended_at"`
		} `json:"legs"`
	}
	if err := json.Unmarshal(data, &long); err != nil {
		return eventRecord{}, err
	}
	r := eventRecord{callRecord: callRecord{long.Status, long.EndReason, long.RingingAt, long.AnsweredAt, long.ActiveAt, long.EndedAt, long.AnsweredBy, long.Seq}}
	for _, l := range long.Legs {
		r.Legs = append(r.Legs, legRecord(l))
	}
	return r, nil
}

// onto sets a call's changeable fields, and those of the legs that the record
// names and the call has.
func (r *eventRecord) onto(c *call.Call) {
	c.Status, c.EndReason, c.RingingAt, c.AnsweredAt, c.ActiveAt, c.EndedAt, c.AnsweredBy = r.Status, r.EndReason, r.RingingAt.Time, r.AnsweredAt.Time, r.ActiveAt.Time, r.EndedAt.Time, r.AnsweredBy
	c.Seq, c.DeadlineAt = r.Seq, time.Time{}
	for _, leg := range r.Legs {
		if l := c.Leg(leg.ID); l != nil {
			leg.onto(l)
		}
	}
}

func (r *legRecord) onto(l *call.Leg) {
	l.Status, l.Reason, l.Media, l.HandedOverAt, l.ConfirmedAt, l.RingingAt = r.Status, r.Reason, r.Media, r.HandedOverAt.Time, r.ConfirmedAt.Time, r.RingingAt.Time
	l.AnsweredAt, l.NoWakeAt, l.WakeChannel, l.EscalatedAt, l.RewokenAt, l.EndedAt = r.AnsweredAt.Time, r.NoWakeAt.Time, call.Channel(r.WakeChannel), r.EscalatedAt.Time, r.RewokenAt.Time, r.EndedAt.Time
	l.VendorCallID, l.LastSeq, l.AlertedAt = "", 0, time.Time{} // as they were then is not told
}

// leg is the id of a record's i-th leg; zero for none.
func (r *eventRecord) leg(i int) uuid.UUID {
	if i >= len(r.Legs) {
		return uuid.Nil
	}
	return r.Legs[i].ID
}

// names reports whether a record holds a leg; a step may have two events of one.
func (r *eventRecord) names(leg uuid.UUID) bool {
	return slices.ContainsFunc(r.Legs, func(l legRecord) bool { return l.ID == leg })
}

// joinSteps gives events of whole calls the legs that their steps changed, which
// the steps' leg.updated events hold: those that end at the same seq.
func (s *Store) joinSteps(ctx context.Context, events []LoggedEvent) error {
	type stepKey struct {
		call uuid.UUID
		seq  int
	}
	steps := map[stepKey][]*eventRecord{} // a step may have several events of the whole call
	var ids []uuid.UUID
	var xids []string
	for i := range events {
		e := &events[i]
		if e.CallID != uuid.Nil && len(e.record.Legs) == 0 && e.CallSeq > 1 {
			step := stepKey{e.CallID, e.record.Seq}
			steps[step] = append(steps[step], &e.record)
			ids, xids = append(ids, e.CallID), append(xids, strconv.FormatUint(e.Position.XID, 10))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := s.pool.Query(ctx, `SELECT e.call_id, e.call_seq, e.at, e.leg_id, e.data
		FROM (SELECT DISTINCT call_id, xid FROM unnest($1::uuid[], $2::text[]::xid8[]) AS u (call_id, xid)) AS wanted CROSS JOIN LATERAL (
			SELECT e.* FROM events e WHERE e.call_id = wanted.call_id AND e.xid = wanted.xid AND e.leg_id IS NOT NULL AND e.id >= $3 OFFSET 0) e
		ORDER BY e.call_id, e.call_seq`, ids, xids, slices.MinFunc(ids, compareIDs))
	if err != nil {
		return translate(err)
	}
	var id uuid.UUID
	var e call.Event
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &e.Seq, &e.Time, &e.Leg, &data}, func() error {
		r, err := readEvent(data, e)
		if err != nil {
			return fmt.Errorf("event %d of call %s: %w", e.Seq, id, err)
		}
		for _, of := range steps[stepKey{id, r.Seq}] {
			if !of.names(e.Leg) {
				of.Legs = append(of.Legs, r.Legs...)
			}
		}
		return nil
	})
	return translate(err)
}
