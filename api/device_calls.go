package api

import (
	"crypto/sha256"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// legAnswer is a device's view of one call.
type legAnswer struct {
	Verdict call.Verdict `json:"verdict"`
	Reason  *string      `json:"reason"`
	Call    callJSON     `json:"call"`
	Leg     legJSON      `json:"leg"`
}

func adviseDevice(c call.Call, l call.Leg) legAnswer {
	a := c.Advise(l.ID)
	return legAnswer{a.Verdict, orNull(a.Reason), renderForDevice(c, l), renderLeg(l)}
}

// getDeviceCall is GET /v1/device/calls/{call_id}.
func (s *server) getDeviceCall(w http.ResponseWriter, r *http.Request, p Leg) error {
	if err := queryOf(r).done(); err != nil {
		return err
	}
	c, err := s.Store.Call(r.Context(), p.AppID, p.CallID)
	if err != nil {
		return err
	}
	l := c.LegOf(p.DeviceID)
	if l == nil || l.UserID != p.UserID {
		return store.ErrNotFound
	}
	return write(w, http.StatusOK, adviseDevice(c, *l))
}

// dialCall is POST /v1/device/calls: the device starts a call.
func (s *server) dialCall(w http.ResponseWriter, r *http.Request, p Device) error {
	body, err := bodyOf(w, r)
	if err != nil {
		return err
	}
	f, err := decode(body)
	if err != nil {
		return err
	}
	in := store.Dial{
		AppID: p.AppID, DeviceID: p.DeviceID, UserID: p.UserID, SentHash: sha256.Sum256(body),
		ClientID: f.id("client_id"), Media: choice(f, "media", call.AllMedia, ""),
	}
	if callee := f.object("callee", true); callee != nil {
		in.Callee = call.Party{UserID: callee.id("user_id"), Name: callee.text("name", 0, 256)}
		callee.unknown()
	}
	if err := f.done(); err != nil {
		return err
	}
	if in.BodyHash, err = saidBy(body); err != nil {
		return err
	}
	c, err := s.Store.DialCall(r.Context(), in)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/device/calls/"+c.ID.String())
	return write(w, http.StatusCreated, adviseDevice(c, *c.LegOf(p.DeviceID)))
}

func (p Leg) party(r *http.Request) store.Party {
	return store.Party{AppID: p.AppID, CallID: p.CallID, DeviceID: p.DeviceID, UserID: p.UserID, LegID: p.LegID, IP: clientAddr(r.Context())}
}

// confirmCall is POST /v1/device/calls/{call_id}/confirm: the app is awake.
func (s *server) confirmCall(w http.ResponseWriter, r *http.Request, p Leg) error {
	body, err := bodyOf(w, r)
	if err != nil {
		return err
	}
	in, err := decodeConfirm(body)
	if err != nil {
		return err
	}
	out, err := s.Store.ConfirmLeg(r.Context(), p.party(r), in)
	if err != nil {
		return err
	}
	left := int64(0)
	if out.Verdict == call.VerdictRing {
		left = max(0, out.Call.ExpiresAt.Sub(out.Now).Milliseconds())
	}
	return write(w, http.StatusOK, struct {
		legAnswer
		LastSeq     int64  `json:"last_seq"`
		ExpiresInMS int64  `json:"expires_in_ms"`
		ServerTime  moment `json:"server_time"`
	}{legAnswer{out.Verdict, orNull(out.Reason), renderForDevice(out.Call, out.Leg), renderLeg(out.Leg)}, out.Leg.LastSeq, left, moment(out.Now)})
}

func decodeConfirm(body []byte) (call.Confirmation, error) {
	f, err := decode(body)
	if err != nil {
		return call.Confirmation{}, err
	}
	in := call.Confirmation{VendorCallID: f.text("vendor_call_id", 0, 256), Source: choice(f, "source", call.Sources, "")}
	return in, f.done()
}

// mostReports is the most reports of one request.
const mostReports = 100

// reportCall is POST /v1/device/calls/{call_id}/reports.
func (s *server) reportCall(w http.ResponseWriter, r *http.Request, p Leg) error {
	body, err := bodyOf(w, r)
	if err != nil {
		return err
	}
	reports, many, err := decodeReports(body)
	if err != nil {
		return err
	}
	out, err := s.Store.ReportLeg(r.Context(), p.party(r), reports)
	var refused *store.ReportError
	if errors.As(err, &refused) {
		pointer := ""
		if many {
			pointer = "/reports/" + strconv.Itoa(refused.Index)
		}
		return &refusedReport{refused, pointer}
	}
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, struct {
		LastSeq int64    `json:"last_seq"`
		Leg     legJSON  `json:"leg"`
		Call    callJSON `json:"call"`
	}{out.LastSeq, renderLeg(out.Leg), renderForDevice(out.Call, out.Leg)})
}

// decodeReports reads {"reports": [...]}, or one report alone; many says which.
func decodeReports(body []byte) (reports []call.Report, many bool, err error) {
	f, err := decode(body)
	if err != nil {
		return nil, false, err
	}
	if _, many = f.raw["reports"]; !many {
		one := decodeReport(f)
		return []call.Report{one}, false, f.done()
	}
	items := f.list("reports", 1, mostReports)
	reports = make([]call.Report, len(items))
	for i, item := range items {
		reports[i] = decodeReport(item)
		item.unknown()
	}
	return reports, true, f.done()
}

func decodeReport(f *fields) call.Report {
	r := call.Report{
		Seq:          f.number("seq", 1, math.MaxInt32, true, 0),
		Event:        choice(f, "event", call.ReportEvents, ""),
		At:           f.moment("at").UTC().Truncate(time.Millisecond),
		Media:        optional(f, "media", call.AllMedia),
		VendorCallID: f.text("vendor_call_id", 0, 256),
		ErrorReason:  optional(f, "error_reason", call.ErrorReasons),
		ErrorCode:    f.number("error_code", 0, 1<<53, false, 0),
		FailureCause: optional(f, "failure_cause", call.FailureCauses),
	}
	if r.Media != "" && r.Event != call.ReportAnswered {
		f.complain("media", "belongs to answered only")
	}
	if r.Event != call.ReportNotReported {
		for name, given := range map[string]bool{"error_reason": r.ErrorReason != "", "error_code": r.ErrorCode != 0, "failure_cause": r.FailureCause != ""} {
			if given {
				f.complain(name, "belongs to not_reported only")
			}
		}
	}
	return r
}
