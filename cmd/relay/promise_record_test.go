package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// A recording is all that can be seen of a run from outside: what the API tells
// when it is over, what the simulators received, and what every actor wrote down.
type recording struct {
	Began     time.Time     // the actors count from here
	MissedBy  time.Duration // how long after its ring's end a call may be missed
	Stall     time.Duration // how late this machine ran what was due, at worst: no promise is of that
	Killed    bool          // a process was killed in the middle
	Tenants   map[string]tenantFact
	Devices   map[string]deviceFact
	Listed    map[string][]callDoc // by app: the pages of GET /v1/calls, one after the other
	Calls     map[string]*callDoc
	Timelines map[string][]entryDoc
	Messages  []messageDoc // of both simulators
	Diary     []*note
	Heard     map[string]map[string][]heardDoc // events, by app and reader, as they came
}

// tenantFact is what an app was told to be.
type tenantFact struct {
	Reject   string
	KeepVoIP time.Duration // apns_voip_expiration_seconds
}

// deviceFact is what a device is.
type deviceFact struct {
	ID, App, User, Platform, Type, Version, UI, Country string
	Habit                                               string            // how it follows its feed: none, sse, poll or both
	Tokens                                              map[string]string // by name
}

// note is one line of a diary: what was asked of whom, and what came of it.
type note struct {
	Who, What string // a device's id or "backend"; invite, cancel, end, read, confirm, report, push, open, told, closed
	Call, App string
	Node      int           // the process that was asked
	Sent, Got time.Duration // since the run began
	Status    int           // HTTP; 0 where no answer came
	Key       string        // of an invitation its Idempotency-Key, of a confirm its vendor_call_id, of the feed its cursor
	Event     string        // of a report; of a confirm its source; why a feed was closed
	Seq       int           // of a report
	Told      answerDoc
	Text      string // the answer of an invitation, or what a feed told, as it came
}

// answerDoc is what any answer may hold.
type answerDoc struct {
	Verdict, Reason, Code string
	Call                  *callDoc
	Leg                   *legDoc
	Token                 string
	ServerTime            time.Time `json:"server_time"`
}

type callDoc struct {
	ID, Ref, Status, Media string
	EndReason              string `json:"end_reason"`
	Caller                 struct{ Name string }
	Callee                 struct {
		UserID string `json:"user_id"`
	}
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	RingingAt  time.Time `json:"ringing_at"`
	AnsweredAt time.Time `json:"answered_at"`
	ActiveAt   time.Time `json:"active_at"`
	EndedAt    time.Time `json:"ended_at"`
	AnsweredBy string    `json:"answered_by"`
	Legs       []legDoc
}

type legDoc struct {
	ID              string
	DeviceID        string `json:"device_id"`
	Channel, Status string
	Reason          string
	HandedOverAt    time.Time `json:"handed_over_at"`
	ConfirmedAt     time.Time `json:"confirmed_at"`
	RingingAt       time.Time `json:"ringing_at"`
	AnsweredAt      time.Time `json:"answered_at"`
	NoWakeAt        time.Time `json:"no_wake_at"`
	EndedAt         time.Time `json:"ended_at"`
}

func (c *callDoc) leg(device string) *legDoc {
	for i := range c.Legs {
		if c.Legs[i].DeviceID == device {
			return &c.Legs[i]
		}
	}
	return nil
}

// entryDoc is one entry of a timeline.
type entryDoc struct {
	At       time.Time
	Type     string
	DeviceID string `json:"device_id"`
	Decision *struct {
		AliveIncoming int `json:"alive_incoming"`
	}
	Attempt *attemptDoc
	Report  *struct{ Event, Refused string }
	Event   *eventDoc
}

type attemptDoc struct {
	ID, Channel, Outcome, Purpose string
	Number                        int
	StartedAt                     time.Time `json:"started_at"`
}

type eventDoc struct {
	Type      string
	CallSeq   int `json:"call_seq"`
	Status    string
	LegStatus string `json:"leg_status"`
}

// heardDoc is one event as a backend heard it.
type heardDoc struct {
	ID, Type string
	Time     time.Time
	AppID    string `json:"app_id"`
	CallSeq  int    `json:"call_seq"`
	Call     *callDoc
	Legs     []legDoc
	Device   *struct {
		DeviceID string `json:"device_id"`
	}

	Text string        `json:"-"` // as it came
	Got  time.Duration `json:"-"` // since the run began
}

// messageDoc is one request that a simulator received.
type messageDoc struct {
	Vendor  string
	AtMS    int64 `json:"at_ms"`
	Path    string
	Headers map[string]string
	Body    json.RawMessage
	Verdict string
}

// diary is where all actors write.
type diary struct {
	mu    sync.Mutex
	notes []*note
}

func (d *diary) keep(n *note) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notes = append(d.notes, n)
}

// read takes in an answer to what was asked.
func (n *note) read(status int, answer []byte) error {
	n.Status = status
	if err := json.Unmarshal(answer, &n.Told); err != nil {
		return fmt.Errorf("%s %s: %w: %s", n.Who, n.What, err, answer)
	}
	switch n.What {
	case "invite":
		n.Text = string(answer)
		fallthrough
	case "read", "cancel", "end":
		if status < 300 {
			n.Told.Call = &callDoc{}
			return json.Unmarshal(answer, n.Told.Call)
		}
	}
	return nil
}

// record reads what the API and the simulators know after a run.
func (s *stage) record() *recording {
	s.t.Helper()
	r := &recording{
		Began: s.began, MissedBy: 250 * time.Millisecond, Stall: s.stall, Killed: s.killed, Tenants: map[string]tenantFact{}, Devices: map[string]deviceFact{},
		Listed: map[string][]callDoc{}, Calls: map[string]*callDoc{}, Timelines: map[string][]entryDoc{}, Diary: s.diary.notes, Heard: s.told(),
	}
	if s.killed {
		r.MissedBy = 3 * time.Second
	}
	for _, d := range s.devices {
		r.Devices[d.ID] = d.deviceFact
	}
	var ids [][2]string // with the key of the app
	for _, a := range s.tenants {
		r.Tenants[a.id] = a.tenantFact
		type list struct {
			Data       []callDoc
			NextCursor *string `json:"next_cursor"`
		}
		for query := ""; ; {
			page := must[list](s.t)(want[list](s.t.Context(), caller{s.urls[0], a.key}, http.StatusOK, http.MethodGet, "/v1/calls?limit=200"+query, nil))
			r.Listed[a.id] = append(r.Listed[a.id], page.Data...)
			for _, c := range page.Data {
				ids = append(ids, [2]string{c.ID, a.key})
			}
			if page.NextCursor == nil {
				break
			}
			query = "&cursor=" + *page.NextCursor
		}
	}
	const readers = 8
	var mu sync.Mutex
	if err := atOnce(readers, func(reader int) error {
		for i := reader; i < len(ids); i += readers {
			id, from := ids[i][0], caller{s.urls[i%2], ids[i][1]}
			c, err := want[*callDoc](s.t.Context(), from, http.StatusOK, http.MethodGet, "/v1/calls/"+id, nil)
			if err != nil {
				return err
			}
			line, err := want[struct{ Data []entryDoc }](s.t.Context(), from, http.StatusOK, http.MethodGet, "/v1/calls/"+id+"/timeline", nil)
			if err != nil {
				return err
			}
			mu.Lock()
			r.Calls[id], r.Timelines[id] = c, line.Data
			mu.Unlock()
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	for vendor, url := range s.vendors {
		type received struct{ Messages []messageDoc }
		for _, m := range must[received](s.t)(want[received](s.t.Context(), caller{url: url}, http.StatusOK, http.MethodGet, "/sim/messages", nil)).Messages {
			m.Vendor = vendor
			r.Messages = append(r.Messages, m)
		}
	}
	return r
}
