package store

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/pushwake/relay/call"
)

// Reported is the state after a device's reports.
type Reported struct {
	Call    call.Call
	Leg     call.Leg
	LastSeq int64
}

// ReportLeg applies a device's reports in order. The first one that is refused
// stops the rest. The ones before it stay applied, and the refusal is stored
// too, so that a replay gets it again.
//
// Errors: ErrNotFound, ErrForeignDevice, and as *ReportError call.ErrEnded,
// call.ErrAnswered, call.ErrLostRace, call.ErrSeqConflict, call.ErrMedia,
// call.ErrRegionNot, call.ErrRegionUnsure; ErrBusy, ErrUnavailable.
func (s *Store) ReportLeg(ctx context.Context, p Party, reports []call.Report) (Reported, error) {
	seqs := make([]int64, len(reports))
	for i, r := range reports {
		seqs[i] = r.Seq
	}
	out, err := s.change(ctx, p.step(seqs, func(u *underLock) (any, error) {
		l, err := u.legOf(p)
		if err != nil {
			return nil, err
		}
		for i, r := range reports {
			if err := u.report(l, p, r); err != nil {
				if errors.Is(err, ErrForeignDevice) {
					return nil, err
				}
				return nil, &ReportError{Index: i, Err: err}
			}
		}
		return Reported{Call: u.snapshot(), Leg: *l, LastSeq: l.LastSeq}, nil
	}))
	if err != nil {
		return Reported{}, err
	}
	return out.(Reported), nil
}

// report applies one report; a replay gets the stored verdict.
func (u *underLock) report(l *call.Leg, p Party, r call.Report) error {
	body, err := json.Marshal(recordReport(r))
	if err != nil {
		return err
	}
	key := reportKey{l.ID, r.Seq}
	if kept, ok := u.reports[key]; ok {
		if kept.body != string(body) {
			return call.ErrSeqConflict
		}
		return verdictOf(kept.refused)
	}
	var gate call.Reason
	var evidence []byte
	if r.Seq > l.LastSeq && r.Event.Admits() {
		if gate, evidence, err = u.gate(l, p); err != nil {
			return err
		}
	}
	verdict := u.call.Report(l.ID, r, gate, u.now)
	refused, err := refusalOf(verdict)
	if err != nil {
		return err
	}
	u.reports[key] = keptReport{string(body), refused}
	u.writes.reports = append(u.writes.reports, reportWrite{
		appID: p.AppID, callID: p.CallID, legID: l.ID, seq: r.Seq, at: u.now, body: string(body), refused: refused, region: evidence,
	})
	return verdict
}

// refusals maps the stored words to the errors by which a report is refused.
var refusals = map[string]error{
	"call_ended": call.ErrEnded, "call_answered": call.ErrAnswered, "lost_race": call.ErrLostRace, "invalid_media": call.ErrMedia,
	string(call.ReasonRegionNotSupported): call.ErrRegionNot, string(call.ReasonRegionUnknown): call.ErrRegionUnsure,
}

// Refusals lists, sorted, the words for why a report was refused.
func Refusals() []string { return slices.Sorted(maps.Keys(refusals)) }

func verdictOf(refused string) error { return refusals[refused] }

func refusalOf(verdict error) (string, error) {
	if verdict == nil {
		return "", nil
	}
	for name, err := range refusals {
		if errors.Is(verdict, err) {
			return name, nil
		}
	}
	return "", verdict // not a verdict on the report, but a failure of relay's
}

// reportRecord is a report in the canonical form that is compared to recognize
// a replay.
type reportRecord struct {
	Event        call.ReportEvent  `json:"event"`
	At           time.Time         `json:"at"`
	Media        call.Media        `json:"media,omitempty"`
	VendorCallID string            `json:"vendor_call_id,omitempty"`
	ErrorReason  call.ErrorReason  `json:"error_reason,omitempty"`
	ErrorCode    int64             `json:"error_code,omitempty"`
	FailureCause call.FailureCause `json:"failure_cause,omitempty"`
}

func recordReport(r call.Report) reportRecord {
	return reportRecord{r.Event, r.At.UTC(), r.Media, r.VendorCallID, r.ErrorReason, r.ErrorCode, r.FailureCause}
}

func (r reportRecord) report(seq int64) call.Report {
	return call.Report{
		Seq: seq, Event: r.Event, At: r.At, Media: r.Media, VendorCallID: r.VendorCallID,
		ErrorReason: r.ErrorReason, ErrorCode: r.ErrorCode, FailureCause: r.FailureCause,
	}
}
